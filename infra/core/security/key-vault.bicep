// Secrets that the app reads by reference: who may call (hashes of API keys), an address of Redis that holds a password, and the
// key under which telemetry hashes owners.

param name string
param location string
param tags object

@description('Who may read the secrets.')
param readerPrincipalId string

@description('The secrets; an empty value makes none.')
@secure()
param apiKeys string
@secure()
param redisUrl string
@secure()
param telemetryHashKey string

@description('Nobody can purge a deleted vault before its 90 days are over. Off, azd down --purge does. Once on, it stays on.')
param purgeProtection bool
@allowed(['Enabled', 'Disabled'])
param publicNetworkAccess string
param logAnalyticsWorkspaceId string

var secretsUserRole = '4633458b-17de-408a-b874-0445c86b69e6'

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  // checkov:skip=CKV_AZURE_109:a development environment without the private network deploys from any address; Entra ID guards it
  // checkov:skip=CKV_AZURE_189:public access follows the parameter, which prod switches off
  // checkov:skip=CKV_AZURE_110:purge protection follows the parameter, which prod switches on; dev must be removable in one go
  // checkov:skip=CKV_AZURE_42:a vault is always recoverable now (soft delete cannot be off); only the purge follows the parameter
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    // Never another number: Azure takes it for a new vault only, and a dev environment may become prod.
    softDeleteRetentionInDays: 90
    // Azure takes true or nothing.
    enablePurgeProtection: purgeProtection ? true : null
    publicNetworkAccess: publicNetworkAccess
    networkAcls: {
      bypass: 'None'
      defaultAction: publicNetworkAccess == 'Enabled' ? 'Allow' : 'Deny'
    }
  }
}

resource apiKeysSecret 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(apiKeys)) {
  // checkov:skip=CKV_AZURE_41:each key in the list carries its own expiry
  // checkov:skip=CKV_AZURE_114:contentType is set; the check looks for it where Bicep has none
  parent: vault
  name: 'api-keys'
  tags: tags
  properties: {
    contentType: 'application/json'
    value: apiKeys
  }
}

resource redisUrlSecret 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(redisUrl)) {
  // checkov:skip=CKV_AZURE_41:the password in it is changed where Redis is
  // checkov:skip=CKV_AZURE_114:contentType is set; the check looks for it where Bicep has none
  parent: vault
  name: 'redis-url'
  tags: tags
  properties: {
    contentType: 'text/plain'
    value: redisUrl
  }
}

resource telemetryHashKeySecret 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(telemetryHashKey)) {
  // checkov:skip=CKV_AZURE_41:an owner has one name in telemetry for as long as it is kept
  // checkov:skip=CKV_AZURE_114:contentType is set; the check looks for it where Bicep has none
  parent: vault
  name: 'telemetry-hash-key'
  tags: tags
  properties: {
    contentType: 'text/plain'
    value: telemetryHashKey
  }
}

resource reader 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, readerPrincipalId, secretsUserRole)
  properties: {
    principalId: readerPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUserRole)
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: vault
  name: 'to-log-analytics'
  properties: {
    workspaceId: logAnalyticsWorkspaceId
    logs: [
      {
        categoryGroup: 'audit'
        enabled: true
      }
    ]
  }
}

output id string = vault.id
output name string = vault.name
// With their versions: the app starts again with a secret that was changed, instead of reading it within a day.
output apiKeysUri string = apiKeysSecret.?properties.secretUriWithVersion ?? ''
output redisUrlUri string = redisUrlSecret.?properties.secretUriWithVersion ?? ''
output telemetryHashKeyUri string = telemetryHashKeySecret.?properties.secretUriWithVersion ?? ''
