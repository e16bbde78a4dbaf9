// A private address of a service in the virtual network, and the DNS zones that resolve its names to it.

param name string
param location string
param tags object
param serviceId string

@description('Subresource to connect to: blob, table, account, vault or sites.')
param subresource string

@description('Private DNS zones of the service.')
param zoneNames array

param networkId string
param subnetId string

resource endpoint 'Microsoft.Network/privateEndpoints@2025-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    subnet: { id: subnetId }
    privateLinkServiceConnections: [
      {
        name: subresource
        properties: {
          privateLinkServiceId: serviceId
          groupIds: [subresource]
        }
      }
    ]
  }

  resource names 'privateDnsZoneGroups' = {
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [for (zoneName, i) in zoneNames: {
        name: '${subresource}-${i}'
        properties: { privateDnsZoneId: zones[i].id }
      }]
    }
  }
}

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [for zoneName in zoneNames: {
  name: zoneName
  location: 'global'
  tags: tags
}]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [for (zoneName, i) in zoneNames: {
  parent: zones[i]
  name: 'network'
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: { id: networkId }
  }
}]
