// A service's address inside the network, and the name that leads there.

param name string
param location string
param tags object
param serviceId string

@description('What of the service is meant: blob, account, vault or sites.')
param subresource string

@description('The DNS zone that the service\'s public name points to from inside a network.')
param zoneName string

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
      privateDnsZoneConfigs: [
        {
          name: subresource
          properties: { privateDnsZoneId: zone.id }
        }
      ]
    }
  }
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: zoneName
  location: 'global'
  tags: tags

  resource link 'virtualNetworkLinks' = {
    name: 'network'
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: { id: networkId }
    }
  }
}
