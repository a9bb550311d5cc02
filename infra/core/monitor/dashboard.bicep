// The dashboard of the last day. dashboard.json is built from infra/queries by infra/views.

param location string
param tags object
param environmentName string
param logAnalyticsWorkspaceId string

var content = json(replace(loadTextContent('dashboard.json'), '__WORKSPACE_ID__', logAnalyticsWorkspaceId))

resource dashboard 'Microsoft.Portal/dashboards@2020-09-01-preview' = {
  name: guid(resourceGroup().id, 'dashboard')
  location: location
  tags: union(tags, {
    'hidden-title': 'Chat API: ${environmentName}'
  })
  properties: {
    lenses: content.lenses
  }
}
