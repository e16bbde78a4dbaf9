param name string
param location string
param tags object
param deploymentName string
param modelName string
param modelVersion string
param modelFormat string
param sku string
param capacity int
param appPrincipalId string
param developerPrincipalId string
param workspaceId string

@allowed(['Enabled', 'Disabled'])
param publicNetworkAccess string

resource account 'Microsoft.CognitiveServices/accounts@2025-12-01' = {
  // checkov:skip=CKV_AZURE_134: access needs an identity with a role; networkAccess closes the network as well
  // checkov:skip=CKV_AZURE_238: it accesses no other resource, and so needs no identity
  name: name
  location: location
  tags: tags
  kind: 'AIServices'
  sku: { name: 'S0' }
  properties: {
    customSubDomainName: name
    disableLocalAuth: true
    publicNetworkAccess: publicNetworkAccess
    networkAcls: { defaultAction: publicNetworkAccess == 'Enabled' ? 'Allow' : 'Deny' }
  }
}

resource deployment 'Microsoft.CognitiveServices/accounts/deployments@2025-12-01' = {
  parent: account
  name: deploymentName
  sku: {
    name: sku
    capacity: capacity
  }
  properties: {
    model: {
      format: modelFormat
      name: modelName
      version: modelVersion
    }
    // A retired version is replaced by the current default, so that requests continue to succeed.
    versionUpgradeOption: 'OnceCurrentVersionExpired'
  }
}

module roles 'model-roles.bicep' = {
  params: {
    accountName: account.name
    modelFormat: modelFormat
    appPrincipalId: appPrincipalId
    developerPrincipalId: developerPrincipalId
  }
}

// Requests and their status, never their content.
resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: account
  name: 'to-workspace'
  properties: {
    workspaceId: workspaceId
    logs: [
      { category: 'Audit', enabled: true }
      { category: 'RequestResponse', enabled: true }
    ]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

output id string = account.id
// Not properties.endpoint: that of a Foundry account is another one.
output endpoint string = 'https://${name}.openai.azure.com/'
