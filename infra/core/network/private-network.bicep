// The private network: subnets, and an endpoint with its DNS zones for each service.

param location string
param tags object
param name string
param networkSecurityGroupName string

@description('Begins the names of the endpoints.')
param endpointPrefix string
param addressPrefix string
param appSubnetPrefix string
param endpointSubnetPrefix string

@description('Resource ids of the services.')
param cosmosId string
param openAiId string

@description('Whether the account may be of the kind AIServices, which answers at addresses in three zones.')
param openAiMayBeFoundry bool
param keyVaultId string
param storageId string

@description('With a bot: the host then reads queues, and notes in tables what went wrong with their messages.')
param withQueues bool

@description('None: no endpoint.')
param redisId string

var openAiZone = 'privatelink.openai.azure.com'
var foundryZones = [openAiZone, 'privatelink.cognitiveservices.azure.com', 'privatelink.services.ai.azure.com']
var connections = [
  {
    name: 'cosmos'
    resourceId: cosmosId
    groupId: 'Sql'
    zones: ['privatelink.documents.azure.com']
  }
  {
    name: 'openai'
    resourceId: openAiId
    groupId: 'account'
    zones: openAiMayBeFoundry ? foundryZones : [openAiZone]
  }
  {
    name: 'key-vault'
    resourceId: keyVaultId
    groupId: 'vault'
    zones: ['privatelink.vaultcore.azure.net']
  }
  {
    name: 'blob'
    resourceId: storageId
    groupId: 'blob'
    zones: ['privatelink.blob.${environment().suffixes.storage}']
  }
]
var queueConnections = [
  {
    name: 'queue'
    resourceId: storageId
    groupId: 'queue'
    zones: ['privatelink.queue.${environment().suffixes.storage}']
  }
  {
    name: 'table'
    resourceId: storageId
    groupId: 'table'
    zones: ['privatelink.table.${environment().suffixes.storage}']
  }
]
var redisConnections = [
  {
    name: 'redis'
    resourceId: redisId
    groupId: 'redisEnterprise'
    zones: ['privatelink.redis.azure.net']
  }
]
var all = concat(connections, withQueues ? queueConnections : [], empty(redisId) ? [] : redisConnections)

module network 'virtual-network.bicep' = {
  name: 'virtual-network'
  params: {
    name: name
    location: location
    tags: tags
    networkSecurityGroupName: networkSecurityGroupName
    addressPrefix: addressPrefix
    appSubnetPrefix: appSubnetPrefix
    endpointSubnetPrefix: endpointSubnetPrefix
  }
}

module endpoints 'private-endpoint.bicep' = [
  for connection in all: {
    name: 'private-endpoint-${connection.name}'
    params: {
      name: connection.name
      location: location
      tags: tags
      endpointName: '${endpointPrefix}${connection.name}'
      resourceId: connection.resourceId
      groupId: connection.groupId
      zoneNames: connection.zones
      networkId: network.outputs.id
      subnetId: network.outputs.endpointSubnetId
    }
  }
]

output appSubnetId string = network.outputs.appSubnetId
