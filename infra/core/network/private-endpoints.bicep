// Private endpoints: each with the DNS zone that makes its service's public name resolve to it inside the network.

param location string
param tags object
param namePrefix string
param networkId string
param subnetId string

@description('List of {name, resourceId, groupId, zone}: a service, the part of it that is reached, and its private DNS zone.')
param connections array

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [for connection in connections: {
  name: connection.zone
  location: 'global'
  tags: tags
}]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [for (connection, index) in connections: {
  parent: zones[index]
  name: '${connection.name}-link'
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: networkId
    }
  }
}]

resource endpoints 'Microsoft.Network/privateEndpoints@2025-05-01' = [for connection in connections: {
  name: '${namePrefix}${connection.name}'
  location: location
  tags: tags
  properties: {
    subnet: {
      id: subnetId
    }
    privateLinkServiceConnections: [
      {
        name: connection.name
        properties: {
          privateLinkServiceId: connection.resourceId
          groupIds: [connection.groupId]
        }
      }
    ]
  }
}]

resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = [for (connection, index) in connections: {
  parent: endpoints[index]
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: connection.name
        properties: {
          privateDnsZoneId: zones[index].id
        }
      }
    ]
  }
}]
