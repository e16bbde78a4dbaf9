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

var keyVaultSecretsUser = '4633458b-17de-408a-874b-0445c86b69e6'

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' = {
  // checkov:skip=CKV_AZURE_109: an identity with a role is what lets in; networkAccess shuts the door as well
  // checkov:skip=CKV_AZURE_189: likewise
  // checkov:skip=CKV_AZURE_110: `azd down --purge` has to give the name back, or the next `azd up` could not take it
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
  // checkov:skip=CKV_AZURE_41: when it expires is for whoever issued it to say
  // checkov:skip=CKV_AZURE_114: it has a content type, which the scanner does not see behind an `if`
  parent: vault
  name: 'azure-openai-api-key'
  properties: {
    contentType: 'text/plain'
    value: azureOpenAiApiKey
  }
}

resource openAiSecret 'Microsoft.KeyVault/vaults/secrets@2025-05-01' = if (!empty(openAiApiKey)) {
  // checkov:skip=CKV_AZURE_41: when it expires is for whoever issued it to say
  // checkov:skip=CKV_AZURE_114: it has a content type, which the scanner does not see behind an `if`
  parent: vault
  name: 'openai-api-key'
  properties: {
    contentType: 'text/plain'
    value: openAiApiKey
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
// Without a version: the app takes up a new one within a day.
output azureOpenAiApiKeyReference string = '@Microsoft.KeyVault(VaultName=${vault.name};SecretName=azure-openai-api-key)'
output openAiApiKeyReference string = '@Microsoft.KeyVault(VaultName=${vault.name};SecretName=openai-api-key)'
