// Everything that the chat API needs, in one resource group. `azd up` deploys it; docs/deployment.md tells what is what.

targetScope = 'subscription'

@description('Name of the azd environment; part of every name.')
@minLength(1)
@maxLength(32)
param environmentName string

@description('Region of everything. azd offers only those in which the default model has quota left.')
@minLength(1)
@metadata({
  azd: {
    type: 'location'
    usageName: [
      'OpenAI.GlobalStandard.gpt-5.4-mini,100'
    ]
  }
})
param location string

@description('prod keeps what must not be lost (locks, purge protection, 30 days of backup) and closes the network; dev can be removed at once.')
@allowed(['dev', 'prod'])
param environmentType string

@description('Whether data services are reached through private endpoints only; empty: in prod.')
@allowed(['', 'true', 'false'])
param usePrivateNetwork string = ''

@description('Leaves the data services open although the network is private: for the one deployment that gives a live app its endpoints.')
param keepPublicAccess bool

@description('Whether data and logs are locked against deletion; empty: in prod.')
@allowed(['', 'true', 'false'])
param lockData string = ''

@description('Instances, data and package in three zones; only where the region has them, and only from the first deployment on.')
param zoneRedundant bool

@description('Who deploys; in dev with the same rights on data and model as the app, to run it on their own machine.')
param developerPrincipalId string = ''

@allowed(['User', 'ServicePrincipal'])
param developerPrincipalType string

@description('An existing Azure OpenAI account instead of a new one, and its resource group (empty: ours). It must have the deployment.')
param existingOpenAiName string = ''
param existingOpenAiResourceGroup string = ''
param openAiDeployment string
param openAiModel string
param openAiModelVersion string
param openAiSku string
param openAiCapacity int

@allowed(['serverless', 'autoscale'])
param cosmosCapacityMode string

@description('With autoscale; in steps of 1,000.')
@minValue(1000)
param cosmosMaxThroughput int
param cosmosDatabase string

@description('Base64 of the JSON list API_KEYS; infra/hooks/preprovision.py makes it from that variable.')
@secure()
param apiKeysBase64 string = ''

@description('Whether to create an Azure Managed Redis for quotas that all instances share.')
param deployRedis bool
param redisSku string

@description('Address of an existing Redis, with its password.')
@secure()
param existingRedisUrl string = ''

@description('Key under which telemetry hashes owners; infra/hooks/preprovision.py makes it once.')
@secure()
param telemetryHashKey string = ''

@description('Whether to create a bot for Teams; see docs/teams.md.')
param deployBot bool

@minValue(0)
@maxValue(100)
param alwaysReadyInstances int

@description('Of each function group (HTTP; the timer; each queue); each instance runs httpConcurrency requests. Azure takes no less than 40.')
@minValue(40)
@maxValue(1000)
param maximumInstances int

@description('Replaces instances one after the other, so that no stream is cut by an update (preview); takes two always-ready instances.')
param rollingUpdates bool

@description('''
A process needs 100 to 180 MB under load, so that memory is not what counts. The core is: 2048 MB come with a whole one,
512 MB with a quarter, which makes a start of 0.6 s one of 2.4 s and leaves 10 streams where 40 could run.
''')
@allowed([512, 2048, 4096])
param instanceMemoryMB int

@description('''
Requests at once on an instance; Azure's default for Python is 1, which would pay an instance for every caller who waits for the
model. On a whole core a streamed turn takes about 13 ms of CPU for 50 tokens, 2.6 % of a core at 10 ms a token. 32 such
streams fill 80 % of it and wait 4 ms longer for their first text; at more, all of them wait.
''')
@minValue(1)
@maxValue(1000)
param httpConcurrency int

@description('Share of the traces that are sent, 0 to 1. Metrics are always complete.')
param tracesSamplerRatio string
@minValue(30)
@maxValue(730)
param logRetentionInDays int
param logDailyCapInGB int

@description('Address for alerts and for the budget; none: there are no alert rules.')
param alertEmail string = ''

@description('Planned costs of a month, in the currency of the bill. 0: no budget.')
param budgetAmount int

@description('First day of the month in which the budget was made; infra/hooks/preprovision.py sets it once.')
param budgetStartDate string = ''

param networkAddressPrefix string
param appSubnetPrefix string
param endpointSubnetPrefix string

@description('Settings of the app beyond those that follow from the resources; see settings.py.')
param extraAppSettings object

@description('Settings of the assistant\'s tools, by the names of their variables. Empty ones are left out.')
param toolAppSettings object

var abbreviations = loadJsonContent('./abbreviations.json')
var token = toLower(uniqueString(subscription().id, environmentName, location))
var isProd = environmentType == 'prod'
var isPrivate = empty(usePrivateNetwork) ? isProd : bool(usePrivateNetwork)
var isLocked = empty(lockData) ? isProd : bool(lockData)
var publicNetworkAccess = isPrivate && !keepPublicAccess ? 'Disabled' : 'Enabled'
var newOpenAi = empty(existingOpenAiName)
// A model that reasons keeps its thoughts between tool calls over the Responses API only.
var reasons = newOpenAi && (startsWith(openAiModel, 'gpt-5') || startsWith(openAiModel, 'o'))
var modelSettings = reasons && empty(extraAppSettings.MODEL_API) ? { MODEL_API: 'responses' } : {}
// azd allows more characters in an environment's name than Azure does in a budget's.
var budgetSuffix = replace(replace(replace(environmentName, '.', '-'), '(', '-'), ')', '-')
var appUser = {
  id: identity.outputs.principalId
  type: 'ServicePrincipal'
}
var developer = {
  id: developerPrincipalId
  type: developerPrincipalType
}
var dataUsers = concat([appUser], isProd || empty(developerPrincipalId) ? [] : [developer])
var tags = {
  'azd-env-name': environmentName
}

resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: '${abbreviations.resourceGroup}${environmentName}'
  location: location
  tags: tags
}

module identity './core/security/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: '${abbreviations.managedIdentity}${token}'
    location: location
    tags: tags
  }
}

module botIdentity './core/security/identity.bicep' = if (deployBot) {
  name: 'bot-identity'
  scope: group
  params: {
    name: '${abbreviations.managedIdentity}bot-${token}'
    location: location
    tags: tags
  }
}

module monitoring './core/monitor/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    location: location
    tags: tags
    logAnalyticsName: '${abbreviations.logAnalytics}${token}'
    applicationInsightsName: '${abbreviations.applicationInsights}${token}'
    publisherPrincipalId: identity.outputs.principalId
    retentionInDays: logRetentionInDays
    dailyCapInGB: logDailyCapInGB
    lock: isLocked
  }
}

module storage './core/storage/storage-account.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: '${abbreviations.storageAccount}${token}'
    location: location
    tags: tags
    appPrincipalId: identity.outputs.principalId
    queueNames: deployBot ? ['activities', 'activities-poison'] : []
    zoneRedundant: zoneRedundant
    publicNetworkAccess: publicNetworkAccess
    logAnalyticsWorkspaceId: monitoring.outputs.logAnalyticsWorkspaceId
  }
}

module cosmos './core/database/cosmos-nosql.bicep' = {
  name: 'cosmos'
  scope: group
  params: {
    name: '${abbreviations.cosmosDb}${token}'
    location: location
    tags: tags
    databaseName: cosmosDatabase
    contributors: dataUsers
    capacityMode: cosmosCapacityMode
    maxThroughput: cosmosMaxThroughput
    backupTier: isProd ? 'Continuous30Days' : 'Continuous7Days'
    zoneRedundant: zoneRedundant
    lock: isLocked
    publicNetworkAccess: publicNetworkAccess
    logAnalyticsWorkspaceId: monitoring.outputs.logAnalyticsWorkspaceId
  }
}

module openAi './core/ai/openai.bicep' = if (newOpenAi) {
  name: 'openai'
  scope: group
  params: {
    name: '${abbreviations.cognitiveServices}${token}'
    location: location
    tags: tags
    deploymentName: openAiDeployment
    modelName: openAiModel
    modelVersion: openAiModelVersion
    deploymentSku: openAiSku
    deploymentCapacity: openAiCapacity
    publicNetworkAccess: publicNetworkAccess
    logAnalyticsWorkspaceId: monitoring.outputs.logAnalyticsWorkspaceId
  }
}

module openAiAccess './core/ai/openai-access.bicep' = {
  name: 'openai-access-${token}'
  scope: resourceGroup(newOpenAi || empty(existingOpenAiResourceGroup) ? group.name : existingOpenAiResourceGroup)
  params: {
    accountName: openAi.?outputs.name ?? existingOpenAiName
    // On an account that is not ours the developer may have the role already, and Azure refuses a second assignment of it.
    users: newOpenAi ? dataUsers : [appUser]
  }
}

module keyVault './core/security/key-vault.bicep' = {
  name: 'key-vault'
  scope: group
  params: {
    name: '${abbreviations.keyVault}${token}'
    location: location
    tags: tags
    readerPrincipalId: identity.outputs.principalId
    apiKeys: empty(apiKeysBase64) ? '' : base64ToString(apiKeysBase64)
    redisUrl: existingRedisUrl
    telemetryHashKey: telemetryHashKey
    purgeProtection: isProd
    publicNetworkAccess: publicNetworkAccess
    logAnalyticsWorkspaceId: monitoring.outputs.logAnalyticsWorkspaceId
  }
}

module redis './core/cache/managed-redis.bicep' = if (deployRedis) {
  name: 'redis'
  scope: group
  params: {
    name: '${abbreviations.managedRedis}${token}'
    location: location
    tags: tags
    skuName: redisSku
    highAvailability: isProd
    appPrincipalId: identity.outputs.principalId
    publicNetworkAccess: publicNetworkAccess
  }
}

module network './core/network/private-network.bicep' = if (isPrivate) {
  name: 'network'
  scope: group
  params: {
    location: location
    tags: tags
    name: '${abbreviations.virtualNetwork}${token}'
    networkSecurityGroupName: '${abbreviations.networkSecurityGroup}${token}'
    endpointPrefix: '${abbreviations.privateEndpoint}${token}-'
    addressPrefix: networkAddressPrefix
    appSubnetPrefix: appSubnetPrefix
    endpointSubnetPrefix: endpointSubnetPrefix
    cosmosId: cosmos.outputs.id
    openAiId: openAiAccess.outputs.id
    openAiMayBeFoundry: !newOpenAi
    keyVaultId: keyVault.outputs.id
    storageId: storage.outputs.id
    withQueues: deployBot
    redisId: redis.?outputs.id ?? ''
  }
}

module api './core/host/function-app.bicep' = {
  name: 'api'
  scope: group
  params: {
    name: '${abbreviations.functionApp}${token}'
    planName: '${abbreviations.functionPlan}${token}'
    location: location
    tags: tags
    serviceName: 'api'
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageBlobEndpoint: storage.outputs.blobEndpoint
    storageQueueEndpoint: storage.outputs.queueEndpoint
    packageUri: storage.outputs.packageUri
    applicationInsightsConnectionString: monitoring.outputs.connectionString
    tracesSamplerRatio: tracesSamplerRatio
    cosmosEndpoint: cosmos.outputs.endpoint
    cosmosDatabase: cosmos.outputs.databaseName
    openAiEndpoint: openAiAccess.outputs.endpoint
    openAiDeployment: openAiDeployment
    apiKeysSecretUri: keyVault.outputs.apiKeysUri
    redisUrlSecretUri: keyVault.outputs.redisUrlUri
    hashKeySecretUri: keyVault.outputs.telemetryHashKeyUri
    redisUrl: redis.?outputs.url ?? ''
    withBot: deployBot
    botIdentityId: botIdentity.?outputs.id ?? ''
    botAppId: botIdentity.?outputs.clientId ?? ''
    extraAppSettings: union(toolAppSettings, extraAppSettings, modelSettings)
    // Not before the endpoints are there: its first start must find every name resolved.
    subnetId: network.?outputs.appSubnetId ?? ''
    zoneRedundant: zoneRedundant
    rollingUpdates: rollingUpdates
    alwaysReadyInstances: alwaysReadyInstances
    maximumInstances: maximumInstances
    instanceMemoryMB: instanceMemoryMB
    httpConcurrency: httpConcurrency
  }
}

module bot './core/bot/bot-service.bicep' = if (deployBot) {
  name: 'bot'
  scope: group
  params: {
    name: '${abbreviations.botService}${token}'
    tags: tags
    identityId: botIdentity.?outputs.id ?? ''
    appId: botIdentity.?outputs.clientId ?? ''
    apiEndpoint: api.outputs.endpoint
    logAnalyticsWorkspaceId: monitoring.outputs.logAnalyticsWorkspaceId
  }
}

// ---- Operations: alerts, workbook, dashboard ----
module operations './core/monitor/operations.bicep' = {
  name: 'operations'
  scope: group
  params: {
    location: location
    tags: tags
    environmentName: environmentName
    logAnalyticsWorkspaceId: monitoring.outputs.logAnalyticsWorkspaceId
    applicationInsightsId: monitoring.outputs.applicationInsightsId
    cosmosAccountId: cosmos.outputs.id
    alertEmail: alertEmail
    readyUrl: '${api.outputs.endpoint}/api/ready'
  }
}

module budget './core/monitor/budget.bicep' = if (budgetAmount > 0 && !empty(alertEmail)) {
  name: 'budget'
  scope: group
  params: {
    name: '${abbreviations.budget}${budgetSuffix}'
    amount: budgetAmount
    alertEmail: alertEmail
    startDate: budgetStartDate
  }
}

// azd keeps these in the environment; infra/hooks reads them. None has the name of an input: azd down erases its outputs.
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_KEY_VAULT_NAME string = keyVault.outputs.name
output SERVICE_API_NAME string = api.outputs.name
output BASE_URL string = api.outputs.endpoint
output PRIVATE_NETWORK string = string(isPrivate)
output COSMOS_ENDPOINT string = cosmos.outputs.endpoint
output API_COSMOS_DATABASE string = cosmos.outputs.databaseName
output AZURE_OPENAI_ENDPOINT string = openAiAccess.outputs.endpoint
output API_OPENAI_DEPLOYMENT string = openAiDeployment
