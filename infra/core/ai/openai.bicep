// An Azure OpenAI account without keys, and the deployment of the model that answers.

param name string
param location string
param tags object
param deploymentName string
param modelName string
param modelVersion string

@description('GlobalStandard, DataZoneStandard, Standard, …: where requests may be processed, and what they cost.')
param deploymentSku string

@description('Thousands of tokens a minute.')
@minValue(1)
param deploymentCapacity int
@allowed(['Enabled', 'Disabled'])
param publicNetworkAccess string
param logAnalyticsWorkspaceId string

resource account 'Microsoft.CognitiveServices/accounts@2025-06-01' = {
  // checkov:skip=CKV_AZURE_134:public access follows the parameter, which prod switches off; without it Entra ID guards the account
  name: name
  location: location
  tags: tags
  kind: 'OpenAI'
  sku: {
    name: 'S0'
  }
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    // Entra ID tokens are accepted on a custom subdomain only.
    customSubDomainName: name
    disableLocalAuth: true
    publicNetworkAccess: publicNetworkAccess
    networkAcls: {
      defaultAction: publicNetworkAccess == 'Enabled' ? 'Allow' : 'Deny'
    }
  }
}

resource deployment 'Microsoft.CognitiveServices/accounts/deployments@2025-06-01' = {
  parent: account
  name: deploymentName
  sku: {
    name: deploymentSku
    capacity: deploymentCapacity
  }
  properties: {
    model: {
      format: 'OpenAI'
      name: modelName
      version: modelVersion
    }
    // A model that is retired must not take the service with it.
    versionUpgradeOption: 'OnceCurrentVersionExpired'
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: account
  name: 'to-log-analytics'
  properties: {
    workspaceId: logAnalyticsWorkspaceId
    // Not RequestResponse for content: neither of these holds any.
    logs: [
      {
        category: 'Audit'
        enabled: true
      }
    ]
  }
}

output name string = account.name
