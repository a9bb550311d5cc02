// The API: a function app on Flex Consumption that reaches everything with one identity.

param name string
param planName string
param location string
param tags object

@description('Name of the service in azure.yaml.')
param serviceName string
param identityId string
param identityClientId string

param storageBlobEndpoint string
param storageQueueEndpoint string

@description('Address of the container that holds the deployed package.')
param packageUri string
param applicationInsightsConnectionString string

@description('Share of the traces that are sent, 0 to 1.')
param tracesSamplerRatio string
param cosmosEndpoint string
param cosmosDatabase string
param openAiEndpoint string
param openAiDeployment string

@description('Addresses of Key Vault secrets; none: the setting is empty.')
param apiKeysSecretUri string
param redisUrlSecretUri string

@description('Address of a Redis that takes the identity; a secret goes before it.')
param redisUrl string

@description('The bot\'s own identity, and its client id; none: no bot.')
param botIdentityId string
param botAppId string

@description('Every other setting of settings.py; an empty value leaves its default.')
param extraAppSettings object

@description('Subnet for outgoing connections; none: the internet.')
param subnetId string
param alwaysReadyInstances int
param maximumInstances int
param instanceMemoryMB int
param httpConcurrency int
param logAnalyticsWorkspaceId string

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  // checkov:skip=CKV_AZURE_225:Flex Consumption places instances itself; zone redundancy costs two more always-ready ones
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  // checkov:skip=CKV_AZURE_222:the API is what the public is to reach; its callers sign in
  // checkov:skip=CKV_AZURE_17:callers sign in with an API key or a token, not with a certificate
  // checkov:skip=CKV_AZURE_212:instances scale from alwaysReadyInstances on, also from none
  // checkov:skip=CKV_AZURE_78:Flex Consumption refuses ftpsState (ARM 51021); the publishing policy below turns FTP off
  // checkov:skip=CKV_AZURE_213:Flex Consumption has no health check path; it replaces instances itself
  name: name
  location: location
  tags: union(tags, {
    'azd-service-name': serviceName
  })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: union({
      '${identityId}': {}
    }, empty(botIdentityId) ? {} : {
      '${botIdentityId}': {}
    })
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      http20Enabled: true
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageUri
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: '3.13'
      }
      scaleAndConcurrency: {
        alwaysReady: alwaysReadyInstances == 0 ? [] : concat([
          {
            name: 'http'
            instanceCount: alwaysReadyInstances
          }
        ], empty(botAppId) ? [] : [
          {
            name: 'function:teams_activity'
            instanceCount: alwaysReadyInstances
          }
        ])
        maximumInstanceCount: maximumInstances
        instanceMemoryMB: instanceMemoryMB
        triggers: {
          http: {
            perInstanceConcurrency: httpConcurrency
          }
        }
      }
    }
  }
}

resource settings 'Microsoft.Web/sites/config@2025-03-01' = {
  // checkov:skip=CKV_AZURE_13:these checks take every config for the one named web; this one is the list of variables
  // checkov:skip=CKV_AZURE_63:the same
  // checkov:skip=CKV_AZURE_65:the same
  // checkov:skip=CKV_AZURE_66:the same
  // checkov:skip=CKV_AZURE_80:the same
  // checkov:skip=CKV_AZURE_88:the same
  // checkov:skip=CKV_AZURE_222:the same
  parent: app
  name: 'appsettings'
  properties: union(extraAppSettings, {
    AzureWebJobsStorage__credential: 'managedidentity'
    AzureWebJobsStorage__clientId: identityClientId
    AzureWebJobsStorage__blobServiceUri: storageBlobEndpoint
    AzureWebJobsStorage__queueServiceUri: storageQueueEndpoint
    // The chat page is at the root, where the host's own would be.
    AzureWebJobsDisableHomepage: 'true'
    // Which identity DefaultAzureCredential takes.
    AZURE_CLIENT_ID: identityClientId
    APPLICATIONINSIGHTS_CONNECTION_STRING: applicationInsightsConnectionString
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
    // telemetry.py configures the exporter; the host only has to pass the context on.
    PYTHON_ENABLE_OPENTELEMETRY: 'true'
    OTEL_TRACES_SAMPLER: 'microsoft.fixed_percentage'
    OTEL_TRACES_SAMPLER_ARG: tracesSamplerRatio
    OTEL_PYTHON_DISABLED_INSTRUMENTATIONS: 'fastapi'
    COSMOS_ENDPOINT: cosmosEndpoint
    COSMOS_DATABASE: cosmosDatabase
    AZURE_OPENAI_ENDPOINT: openAiEndpoint
    AZURE_OPENAI_MODEL: openAiDeployment
    BOT_APP_ID: botAppId
    BOT_TENANT_ID: empty(botAppId) ? '' : tenant().tenantId
    BOT_QUEUE_URL: empty(botAppId) ? '' : '${storageQueueEndpoint}activities'
    API_KEYS: empty(apiKeysSecretUri) ? '' : '@Microsoft.KeyVault(SecretUri=${apiKeysSecretUri})'
    REDIS_URL: empty(redisUrlSecretUri) ? redisUrl : '@Microsoft.KeyVault(SecretUri=${redisUrlSecretUri})'
  })
}

// Deployments sign in with Entra ID; user names and passwords are off.
resource passwords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = [for protocol in ['ftp', 'scm']: {
  parent: app
  name: protocol
  properties: {
    allow: false
  }
}]

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: app
  name: 'to-log-analytics'
  properties: {
    workspaceId: logAnalyticsWorkspaceId
    // No logs: telemetry.py has sent those lines already.
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}

output name string = app.name
output endpoint string = 'https://${app.properties.defaultHostName}'
