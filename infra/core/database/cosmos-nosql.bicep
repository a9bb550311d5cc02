// The threads: an account without keys, its database, and the two containers that stores/cosmos/definitions.py defines.

param name string
param location string
param tags object
param databaseName string

@description('Who may read and write the documents: list of {id, type}.')
param contributors array

@description('serverless: paid by request, up to 5,000 RU/s. autoscale: paid by the hour, up to maxThroughput. It cannot be changed from autoscale back.')
@allowed(['serverless', 'autoscale'])
param capacityMode string

@description('With autoscale: the RU/s at most that both containers share; a tenth of it is always paid.')
@minValue(1000)
param maxThroughput int

@description('How far back the account can be restored. The 30 days cost by the gigabyte, the 7 days nothing.')
@allowed(['Continuous7Days', 'Continuous30Days'])
param backupTier string

@description('Three copies in three zones. Azure takes it for a new account only.')
param zoneRedundant bool

@description('Whether nobody can delete the account before the lock is taken off.')
param lock bool
@allowed(['Enabled', 'Disabled'])
param publicNetworkAccess string
param logAnalyticsWorkspaceId string

var serverless = capacityMode == 'serverless'
var capabilities = serverless ? [{ name: 'EnableServerless' }] : []
var throughput = serverless ? {} : { autoscaleSettings: { maxThroughput: maxThroughput } }
var dataContributorRole = '00000000-0000-0000-0000-000000000002'

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' = {
  // checkov:skip=CKV_AZURE_99:public access follows the parameter, which prod switches off; without it Entra ID guards the account
  // checkov:skip=CKV_AZURE_101:the same
  name: name
  location: location
  tags: tags
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    locations: [
      {
        locationName: location
        failoverPriority: 0
        isZoneRedundant: zoneRedundant
      }
    ]
    capabilities: capabilities
    // What the store is written for: a conditional write returns the token that the next read needs.
    consistencyPolicy: {
      defaultConsistencyLevel: 'Session'
    }
    backupPolicy: {
      type: 'Continuous'
      continuousModeProperties: {
        tier: backupTier
      }
    }
    disableLocalAuth: true
    disableKeyBasedMetadataWriteAccess: true
    minimalTlsVersion: 'Tls12'
    publicNetworkAccess: publicNetworkAccess
  }
}

resource database 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2025-04-15' = {
  parent: account
  name: databaseName
  tags: tags
  properties: {
    resource: {
      id: databaseName
    }
    options: throughput
  }
}

resource messages 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = {
  parent: database
  name: 'messages'
  tags: tags
  properties: {
    resource: {
      id: 'messages'
      partitionKey: {
        paths: ['/thread_id']
        kind: 'Hash'
        version: 2
      }
      defaultTtl: -1
      indexingPolicy: {
        indexingMode: 'consistent'
        automatic: true
        includedPaths: [
          { path: '/thread_id/?' }
          { path: '/seq/?' }
          { path: '/owner_hash/?' }
          { path: '/tenant/?' }
          { path: '/marked/?' }
          { path: '/metadata/author_id/?' }
          { path: '/lease/message/metadata/author_id/?' }
          { path: '/metadata/team_key/?' }
        ]
        excludedPaths: [
          { path: '/*' }
        ]
      }
    }
  }
}

resource threads 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = {
  parent: database
  name: 'threads'
  tags: tags
  properties: {
    resource: {
      id: 'threads'
      partitionKey: {
        paths: ['/owner_id']
        kind: 'Hash'
        version: 2
      }
      defaultTtl: -1
      indexingPolicy: {
        indexingMode: 'consistent'
        automatic: true
        includedPaths: [
          { path: '/owner_id/?' }
          { path: '/sort/?' }
          { path: '/status/?' }
          { path: '/deleting/?' }
          { path: '/open/turn_id/?' }
        ]
        excludedPaths: [
          { path: '/*' }
        ]
      }
    }
  }
}

// Azure refuses a second one while it works on the first.
@batchSize(1)
resource assignments 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2025-04-15' = [
  for contributor in contributors: {
    parent: account
    name: guid(account.id, contributor.id, dataContributorRole)
    properties: {
      principalId: contributor.id
      roleDefinitionId: '${account.id}/sqlRoleDefinitions/${dataContributorRole}'
      // This database only.
      scope: '${account.id}/dbs/${database.name}'
    }
  }
]

resource deletionLock 'Microsoft.Authorization/locks@2020-05-01' = if (lock) {
  scope: account
  name: 'keep-the-threads'
  properties: {
    level: 'CanNotDelete'
    notes: 'Holds every conversation. Take both locks off before azd down.'
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: account
  name: 'to-log-analytics'
  properties: {
    workspaceId: logAnalyticsWorkspaceId
    logAnalyticsDestinationType: 'Dedicated'
    // Not DataPlaneRequests: a line for each request, which the app's own telemetry tells already.
    logs: [
      {
        category: 'ControlPlaneRequests'
        enabled: true
      }
    ]
  }
}

output id string = account.id
output endpoint string = account.properties.documentEndpoint
output databaseName string = database.name
