targetScope = 'subscription'

// Each parameter is an azd environment value, named in main.parameters.json: `azd env set NAME VALUE` sets it.

@description('The azd environment: names the resource group and, through a hash, all that is in it.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('A region that has Flex Consumption and, unless azureOpenAiLocation names another, the model.')
@minLength(1)
@metadata({ azd: { type: 'location' } })
param location string

@description('Who runs azd: a person is allowed to use the deployed model from their own machine.')
param principalId string = ''

@description('User or ServicePrincipal: a pipeline needs no model.')
param principalType string = 'User'

// ── the model ───────────────────────────────────────────────────────────────────────────────────────────────────────

// Said outright rather than concluded from what is set: azd also reads the shell's variables, and an OPENAI_API_KEY
// that happens to be there must not change what is deployed.
@description('new: an Azure OpenAI account is made. existing: one in this subscription is used. endpoint: one anywhere else. openai: OpenAI or a compatible server.')
@allowed(['new', 'existing', 'endpoint', 'openai'])
param modelSource string = 'new'

@description('new: its region, if not the app\'s.')
param azureOpenAiLocation string = ''

@description('new: the model to deploy. Models retire within a year.')
param azureOpenAiModel string = 'gpt-5.4-mini'

@description('new: the model\'s version.')
param azureOpenAiModelVersion string = '2026-03-17'

@description('new: the deployment\'s SKU, such as GlobalStandard, DataZoneStandard or Standard.')
param azureOpenAiSku string = 'GlobalStandard'

@description('new: the deployment\'s share of the subscription\'s quota, in thousands of tokens a minute.')
@minValue(1)
param azureOpenAiCapacity int = 30

@description('new, existing, endpoint: the deployment to ask.')
param azureOpenAiChatDeployment string = 'chat'

@description('existing: the account\'s name. It needs a custom subdomain, as every keyless one does.')
param azureOpenAiExistingAccount string = ''

@description('existing: the account\'s resource group.')
param azureOpenAiExistingResourceGroup string = ''

@description('endpoint: https://NAME.openai.azure.com.')
param azureOpenAiExistingEndpoint string = ''

@description('endpoint: a key, where the app\'s identity cannot be given a role.')
@secure()
param azureOpenAiApiKey string = ''

@description('openai: the key; a compatible server may need none.')
@secure()
param openAiApiKey string = ''

@description('openai: a compatible server, if not OpenAI\'s own.')
param openAiBaseUrl string = ''

@description('openai: the model to ask.')
param openAiModel string = ''

// ── the service; what is empty takes the default of chat/settings.py ────────────────────────────────────────────────

@description('The system prompt.')
param chatSystemPrompt string = ''

@description('A cap on an answer\'s length, in tokens.')
param chatMaxCompletionTokens string = ''

@description('Seconds of silence from the model\'s server that are too many.')
param chatTimeout string = ''

@description('Messages in one request.')
param chatMaxMessages string = ''

@description('Bytes in one request\'s body.')
param chatMaxRequestBytes string = ''

// ── scale ───────────────────────────────────────────────────────────────────────────────────────────────────────────

// The platform gives a Python app 1 unless told otherwise: each chat would wait for, and pay for, an instance of its own.
// A chat here is a connection that an event loop watches. One chunk costs the worker some 67 µs of CPU, so 100 chats at
// 50 chunks a second take a third of the one core that 2048 MB come with, and leave the rest to the Functions host,
// which forwards the same bytes, and to bursts. Their memory is small: 75 KB each. docs/performance.md has it all.
@description('Chats that one instance serves at once, before the platform starts another.')
@minValue(1)
@maxValue(1000)
param chatsPerInstance int = 100

@description('Memory of an instance; its cores come with it: a quarter, one, two.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

// The smallest cap there is, and no small one: 40 instances of 100 chats are 4,000 chats at once.
@description('Instances at the most: the cap on what a flood of chats can cost.')
@minValue(40)
@maxValue(1000)
param maximumInstances int = 40

// None: an idle app costs nothing, and the first chat after a pause waits for a cold start. One takes that wait away.
@description('Instances that are kept warm, and paid for all day.')
@minValue(0)
@maxValue(1000)
param alwaysReadyInstances int = 0

// ── who may come in ─────────────────────────────────────────────────────────────────────────────────────────────────

@description('Origins whose pages may call the service, separated by commas.')
param corsAllowedOrigins string = ''

@description('public: no virtual network. backend: storage, model and key vault are closed to all but the app. private: so is the app itself.')
@allowed(['public', 'backend', 'private'])
param networkAccess string = 'public'

// ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

var token = uniqueString(subscription().id, environmentName, location)
var tags = { 'azd-env-name': environmentName }
var hasNetwork = networkAccess != 'public'
var azureOpenAiKey = modelSource == 'endpoint' ? azureOpenAiApiKey : ''
var openAiKey = modelSource == 'openai' ? openAiApiKey : ''
var hasKey = !empty(azureOpenAiKey) || !empty(openAiKey)
var developerPrincipalId = principalType == 'User' ? principalId : ''

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'app/identity.bicep' = {
  scope: group
  params: {
    name: 'id-${token}'
    location: location
    tags: tags
  }
}

module monitoring 'app/monitoring.bicep' = {
  scope: group
  params: {
    workspaceName: 'log-${token}'
    applicationInsightsName: 'appi-${token}'
    location: location
    tags: tags
    appPrincipalId: identity.outputs.principalId
  }
}

module storage 'app/storage.bicep' = {
  scope: group
  params: {
    name: 'st${token}'
    location: location
    tags: tags
    publicNetworkAccess: hasNetwork ? 'Disabled' : 'Enabled'
    appPrincipalId: identity.outputs.principalId
    workspaceId: monitoring.outputs.workspaceId
  }
}

module newModel 'app/model.bicep' = if (modelSource == 'new') {
  scope: group
  params: {
    name: 'oai-${token}'
    location: empty(azureOpenAiLocation) ? location : azureOpenAiLocation
    tags: tags
    deploymentName: azureOpenAiChatDeployment
    modelName: azureOpenAiModel
    modelVersion: azureOpenAiModelVersion
    sku: azureOpenAiSku
    capacity: azureOpenAiCapacity
    publicNetworkAccess: hasNetwork ? 'Disabled' : 'Enabled'
    appPrincipalId: identity.outputs.principalId
    developerPrincipalId: developerPrincipalId
    workspaceId: monitoring.outputs.workspaceId
  }
}

module existingModel 'app/existing-model.bicep' = if (modelSource == 'existing') {
  // A scope must be named even where the module is left out.
  scope: resourceGroup(empty(azureOpenAiExistingResourceGroup) ? group.name : azureOpenAiExistingResourceGroup)
  params: {
    name: azureOpenAiExistingAccount
    appPrincipalId: identity.outputs.principalId
    developerPrincipalId: developerPrincipalId
  }
}

module vault 'app/vault.bicep' = if (hasKey) {
  scope: group
  params: {
    name: 'kv-${token}'
    location: location
    tags: tags
    azureOpenAiApiKey: azureOpenAiKey
    openAiApiKey: openAiKey
    publicNetworkAccess: hasNetwork ? 'Disabled' : 'Enabled'
    appPrincipalId: identity.outputs.principalId
    workspaceId: monitoring.outputs.workspaceId
  }
}

module network 'app/network.bicep' = if (hasNetwork) {
  scope: group
  params: {
    name: 'vnet-${token}'
    location: location
    tags: tags
  }
}

module storageEndpoint 'app/private-endpoint.bicep' = if (hasNetwork) {
  scope: group
  params: {
    name: 'pe-storage-${token}'
    location: location
    tags: tags
    serviceId: storage.outputs.id
    subresource: 'blob'
    zoneName: 'privatelink.blob.${environment().suffixes.storage}'
    networkId: network!.outputs.id
    subnetId: network!.outputs.endpointSubnetId
  }
}

module modelEndpoint 'app/private-endpoint.bicep' = if (hasNetwork && modelSource == 'new') {
  scope: group
  params: {
    name: 'pe-model-${token}'
    location: location
    tags: tags
    serviceId: newModel!.outputs.id
    subresource: 'account'
    zoneName: 'privatelink.openai.azure.com'
    networkId: network!.outputs.id
    subnetId: network!.outputs.endpointSubnetId
  }
}

module vaultEndpoint 'app/private-endpoint.bicep' = if (hasNetwork && hasKey) {
  scope: group
  params: {
    name: 'pe-vault-${token}'
    location: location
    tags: tags
    serviceId: vault!.outputs.id
    subresource: 'vault'
    zoneName: 'privatelink.vaultcore.azure.net'
    networkId: network!.outputs.id
    subnetId: network!.outputs.endpointSubnetId
  }
}

module functionAppEndpoint 'app/private-endpoint.bicep' = if (networkAccess == 'private') {
  scope: group
  params: {
    name: 'pe-app-${token}'
    location: location
    tags: tags
    serviceId: functionApp.outputs.id
    subresource: 'sites'
    zoneName: 'privatelink.azurewebsites.net'
    networkId: network!.outputs.id
    subnetId: network!.outputs.endpointSubnetId
  }
}

var foundEndpoint = modelSource == 'existing' ? existingModel!.outputs.endpoint : azureOpenAiExistingEndpoint
var azureEndpoint = modelSource == 'new' ? newModel!.outputs.endpoint : foundEndpoint
var azureOpenAiEndpoint = modelSource == 'openai' ? '' : azureEndpoint

module functionApp 'app/function-app.bicep' = {
  scope: group
  params: {
    name: 'func-${token}'
    planName: 'plan-${token}'
    location: location
    tags: tags
    identityName: identity.outputs.name
    storageName: storage.outputs.name
    packageContainer: storage.outputs.packageContainer
    applicationInsightsName: monitoring.outputs.applicationInsightsName
    workspaceId: monitoring.outputs.workspaceId
    publicNetworkAccess: networkAccess == 'private' ? 'Disabled' : 'Enabled'
    subnetId: hasNetwork ? network!.outputs.appSubnetId : ''
    corsAllowedOrigins: empty(corsAllowedOrigins) ? [] : split(replace(corsAllowedOrigins, ' ', ''), ',')
    chatsPerInstance: chatsPerInstance
    instanceMemoryMB: instanceMemoryMB
    maximumInstances: maximumInstances
    alwaysReadyInstances: alwaysReadyInstances
    chatSettings: {
      AZURE_OPENAI_ENDPOINT: azureOpenAiEndpoint
      AZURE_OPENAI_CHAT_DEPLOYMENT: empty(azureOpenAiEndpoint) ? '' : azureOpenAiChatDeployment
      AZURE_OPENAI_API_KEY: empty(azureOpenAiKey) ? '' : vault!.outputs.azureOpenAiApiKeyReference
      OPENAI_API_KEY: empty(openAiKey) ? '' : vault!.outputs.openAiApiKeyReference
      OPENAI_BASE_URL: modelSource == 'openai' ? openAiBaseUrl : ''
      OPENAI_MODEL: modelSource == 'openai' ? openAiModel : ''
      CHAT_SYSTEM_PROMPT: chatSystemPrompt
      CHAT_MAX_COMPLETION_TOKENS: chatMaxCompletionTokens
      CHAT_TIMEOUT: chatTimeout
      CHAT_MAX_MESSAGES: chatMaxMessages
      CHAT_MAX_REQUEST_BYTES: chatMaxRequestBytes
    }
  }
  // The host reads storage, and the keys, as soon as the app is there.
  dependsOn: [storageEndpoint, modelEndpoint, vaultEndpoint]
}

output AZURE_LOCATION string = location
output AZURE_SUBSCRIPTION_ID string = subscription().subscriptionId
output AZURE_TENANT_ID string = tenant().tenantId
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_FUNCTION_NAME string = functionApp.outputs.name
output MODEL_SOURCE string = modelSource
output AZURE_OPENAI_ENDPOINT string = azureOpenAiEndpoint
output AZURE_OPENAI_CHAT_DEPLOYMENT string = azureOpenAiChatDeployment
output OPENAI_BASE_URL string = openAiBaseUrl
output OPENAI_MODEL string = openAiModel
// infra/hooks/postdeploy.* say the rest: how to get the key that this address asks for, and a curl line.
output CHAT_URL string = 'https://${functionApp.outputs.hostName}/api/chat'
