// Azure Managed Redis, on which all instances count quotas. No keys: the app signs in with its identity.

param name string
param location string
param tags object

@description('Balanced_B0 (0.5 GB) holds the counts of about a million owners.')
param skuName string

@description('Two nodes instead of one; while Redis is away each instance counts for itself, so nothing fails without it.')
param highAvailability bool

@description('Who may read and write: the app.')
param appPrincipalId string
@allowed(['Enabled', 'Disabled'])
param publicNetworkAccess string

resource cluster 'Microsoft.Cache/redisEnterprise@2025-07-01' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: skuName
  }
  properties: {
    highAvailability: highAvailability ? 'Enabled' : 'Disabled'
    minimumTlsVersion: '1.2'
    publicNetworkAccess: publicNetworkAccess
  }
}

resource database 'Microsoft.Cache/redisEnterprise/databases@2025-07-01' = {
  parent: cluster
  name: 'default'
  properties: {
    port: 10000
    clientProtocol: 'Encrypted'
    accessKeysAuthentication: 'Disabled'
    // One address that answers for all shards: the app's client does not speak the cluster protocol.
    clusteringPolicy: 'EnterpriseCluster'
    // Every count expires by itself; when memory is short the oldest of those go.
    evictionPolicy: 'VolatileTTL'
  }
}

resource access 'Microsoft.Cache/redisEnterprise/databases/accessPolicyAssignments@2025-07-01' = {
  parent: database
  name: 'app'
  properties: {
    accessPolicyName: 'default'
    user: {
      objectId: appPrincipalId
    }
  }
}

output id string = cluster.id
// Without a password: the app takes that for its identity (quotas/backend.py).
output url string = 'rediss://${cluster.properties.hostName}:${database.properties.port}'
