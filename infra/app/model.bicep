param name string
param location string
param tags object
param deploymentName string
param modelName string
param modelVersion string
param sku string
param capacity int
param appPrincipalId string
param developerPrincipalId string
param workspaceId string

@allowed(['Enabled', 'Disabled'])
param publicNetworkAccess string

resource account 'Microsoft.CognitiveServices/accounts@2025-12-01' = {
  // checkov:skip=CKV_AZURE_134: an identity with a role is what lets in; networkAccess shuts the door as well
  // checkov:skip=CKV_AZURE_238: it reads nothing of anyone's, and so needs no identity
  name: name
  location: location
  tags: tags
  kind: 'OpenAI'
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
      format: 'OpenAI'
      name: modelName
      version: modelVersion
    }
    // A version that retires is replaced by the default one of its day, so that the service goes on answering.
    versionUpgradeOption: 'OnceCurrentVersionExpired'
  }
}

module roles 'model-roles.bicep' = {
  params: {
    accountName: account.name
    appPrincipalId: appPrincipalId
    developerPrincipalId: developerPrincipalId
  }
}

// Who asked and what it came to, never what was said.
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
output endpoint string = account.properties.endpoint
