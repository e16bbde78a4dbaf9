param name string
param location string
param tags object
param appPrincipalId string
param workspaceId string

@allowed(['Enabled', 'Disabled'])
param publicNetworkAccess string

@secure()
param azureOpenAiApiKey string

@secure()
param openAiApiKey string

@secure()
param chatApiKeys string

var keyVaultSecretsUser = '4633458b-17de-408a-b874-0445c86b69e6'

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' = {
  // checkov:skip=CKV_AZURE_109: access needs an identity with a role; networkAccess closes the network as well
  // checkov:skip=CKV_AZURE_189: see CKV_AZURE_109
  // checkov:skip=CKV_AZURE_110: `azd down --purge` must free the name for the next `azd up`
  // checkov:skip=CKV_AZURE_42: it is recoverable for the seven days of soft delete
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
    softDeleteRetentionInDays: 7
    publicNetworkAccess: publicNetworkAccess
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: publicNetworkAccess == 'Enabled' ? 'Allow' : 'Deny'
    }
  }
}

resource azureOpenAiSecret 'Microsoft.KeyVault/vaults/secrets@2025-05-01' = if (!empty(azureOpenAiApiKey)) {
  // checkov:skip=CKV_AZURE_41: its issuer decides when it expires
  // checkov:skip=CKV_AZURE_114: it has a content type; the scanner does not find it after `if`
  parent: vault
  name: 'azure-openai-api-key'
  properties: {
    contentType: 'text/plain'
    value: azureOpenAiApiKey
  }
}

resource openAiSecret 'Microsoft.KeyVault/vaults/secrets@2025-05-01' = if (!empty(openAiApiKey)) {
  // checkov:skip=CKV_AZURE_41: its issuer decides when it expires
  // checkov:skip=CKV_AZURE_114: it has a content type; the scanner does not find it after `if`
  parent: vault
  name: 'openai-api-key'
  properties: {
    contentType: 'text/plain'
    value: openAiApiKey
  }
}

resource chatSecret 'Microsoft.KeyVault/vaults/secrets@2025-05-01' = if (!empty(chatApiKeys)) {
  // checkov:skip=CKV_AZURE_41: the keys are revoked one by one, by a new value
  // checkov:skip=CKV_AZURE_114: it has a content type; the scanner does not find it after `if`
  parent: vault
  name: 'chat-api-keys'
  properties: {
    contentType: 'text/plain'
    value: chatApiKeys
  }
}

resource readSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, appPrincipalId, keyVaultSecretsUser)
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', keyVaultSecretsUser)
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: vault
  name: 'to-workspace'
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'AuditEvent', enabled: true }]
  }
}

output id string = vault.id
// Without a version: the app uses a new one within a day.
output azureOpenAiApiKeyReference string = '@Microsoft.KeyVault(VaultName=${vault.name};SecretName=azure-openai-api-key)'
output openAiApiKeyReference string = '@Microsoft.KeyVault(VaultName=${vault.name};SecretName=openai-api-key)'
output chatApiKeysReference string = '@Microsoft.KeyVault(VaultName=${vault.name};SecretName=chat-api-keys)'
