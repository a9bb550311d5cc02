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

@description('Where a bot\'s activities wait; without a bot the host is told of no queues.')
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
param hashKeySecretUri string

@description('Address of a Redis that takes the identity; a secret goes before it.')
param redisUrl string

param withBot bool

@description('The bot\'s own identity, and its client id.')
param botIdentityId string
param botAppId string

@description('Every other setting of settings.py; an empty value leaves its default.')
param extraAppSettings object

@description('Subnet for outgoing connections; none: the internet.')
param subnetId string

@description('Instances in three zones.')
param zoneRedundant bool

@description('Replace instances one after the other; see main.bicep.')
param rollingUpdates bool
param alwaysReadyInstances int
param maximumInstances int
param instanceMemoryMB int
param httpConcurrency int

// Below two always-ready instances, a rolling update stops the only one, and zones have nothing to stand in for each other.
var leastReady = rollingUpdates || (zoneRedundant && alwaysReadyInstances > 0) ? 2 : 0
var readyInstances = max(alwaysReadyInstances, leastReady)
var functionGroups = withBot ? ['http', 'function:teams_activity'] : ['http']
var readyGroups = readyInstances == 0 ? [] : functionGroups
// As settings.py reads them.
var origins = replace(toLower(extraAppSettings.CORS_ORIGINS), ' ', '')
var corsOrigins = empty(origins) ? [] : split(origins, ',')
var botIdentities = withBot ? { '${botIdentityId}': {} } : {}
// Left out, not empty: the host would take that for an address.
var queueSettings = withBot ? { AzureWebJobsStorage__queueServiceUri: storageQueueEndpoint } : {}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  // checkov:skip=CKV_AZURE_225:zone redundancy follows the parameter: not every region has zones
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
    zoneRedundant: zoneRedundant
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
    userAssignedIdentities: union({ '${identityId}': {} }, botIdentities)
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
      // The platform answers preflights itself, also where no origin is configured; the app never sees them.
      cors: {
        allowedOrigins: corsOrigins
      }
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
        alwaysReady: [
          for functionGroup in readyGroups: {
            name: functionGroup
            instanceCount: readyInstances
          }
        ]
        maximumInstanceCount: maximumInstances
        instanceMemoryMB: instanceMemoryMB
        triggers: {
          http: {
            perInstanceConcurrency: httpConcurrency
          }
        }
      }
      // Preview: the service takes it, this compiler's types do not have it yet.
      #disable-next-line BCP037
      siteUpdateStrategy: {
        type: rollingUpdates ? 'RollingUpdate' : 'Recreate'
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
  properties: union(extraAppSettings, queueSettings, {
    AzureWebJobsStorage__credential: 'managedidentity'
    AzureWebJobsStorage__clientId: identityClientId
    AzureWebJobsStorage__blobServiceUri: storageBlobEndpoint
    // A little above the largest body that api/json_route.py takes: the host reads bodies whole before the app hears of them.
    FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: '524288'
    // The chat page is at the root, where the host's own would be.
    AzureWebJobsDisableHomepage: 'true'
    // Which identity DefaultAzureCredential takes.
    AZURE_CLIENT_ID: identityClientId
    APPLICATIONINSIGHTS_CONNECTION_STRING: applicationInsightsConnectionString
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
    // observability/setup.py configures the exporter; the host only has to pass the context on.
    PYTHON_ENABLE_OPENTELEMETRY: 'true'
    OTEL_TRACES_SAMPLER: 'microsoft.fixed_percentage'
    OTEL_TRACES_SAMPLER_ARG: tracesSamplerRatio
    OTEL_PYTHON_DISABLED_INSTRUMENTATIONS: 'fastapi'
    COSMOS_ENDPOINT: cosmosEndpoint
    COSMOS_DATABASE: cosmosDatabase
    AZURE_OPENAI_ENDPOINT: openAiEndpoint
    AZURE_OPENAI_MODEL: openAiDeployment
    BOT_APP_ID: botAppId
    BOT_TENANT_ID: withBot ? tenant().tenantId : ''
    BOT_QUEUE_URL: withBot ? '${storageQueueEndpoint}activities' : ''
    API_KEYS: empty(apiKeysSecretUri) ? '' : '@Microsoft.KeyVault(SecretUri=${apiKeysSecretUri})'
    TELEMETRY_HASH_KEY: empty(hashKeySecretUri) ? '' : '@Microsoft.KeyVault(SecretUri=${hashKeySecretUri})'
    REDIS_URL: empty(redisUrlSecretUri) ? redisUrl : '@Microsoft.KeyVault(SecretUri=${redisUrlSecretUri})'
  })
}

// Deployments sign in with Entra ID; user names and passwords are off.
resource ftpPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource scmPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

output name string = app.name
output endpoint string = 'https://${app.properties.defaultHostName}'
