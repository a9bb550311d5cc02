// The operator's workbook. workbook.json is built from infra/queries by infra/views.

param location string
param tags object
param environmentName string
param logAnalyticsWorkspaceId string
param applicationInsightsId string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  // A workbook's name must be a GUID.
  name: guid(resourceGroup().id, 'operations')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Chat API: ${environmentName}'
    category: 'workbook'
    sourceId: applicationInsightsId
    serializedData: replace(loadTextContent('workbook.json'), '__WORKSPACE_ID__', logAnalyticsWorkspaceId)
    version: 'Notebook/1.0'
  }
}
