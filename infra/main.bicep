targetScope = 'subscription'

// main.parameters.json maps each parameter to an azd environment value (`azd env set NAME VALUE`) and holds its default.
// Only an empty string is a default here: azd prompts for a parameter that is empty and has none. A number without one
// is never replaced silently: where the environment has `abc`, azd prompts, or fails with `--no-prompt`.

@description('Name of the azd environment. It names the resource group and, hashed, every resource in it.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Region of the app. It needs Flex Consumption and, unless azureOpenAiLocation is set, the model.')
@minLength(1)
@metadata({ azd: { type: 'location' } })
param location string

@description('Object id of the principal that runs azd.')
param principalId string = ''

@description('User or ServicePrincipal. Only a user gets a role on the model.')
param principalType string

// ── model ───────────────────────────────────────────────────────────────────────────────────────────────────────────

// Explicit, not derived from the other values: azd also reads the shell's environment variables, and an OPENAI_API_KEY
// set there must not change what is deployed.
@description('new: creates a Microsoft Foundry account. existing: uses a Foundry or Azure OpenAI account of this subscription. endpoint: uses any other one. openai: uses OpenAI or a compatible server.')
@allowed(['new', 'existing', 'endpoint', 'openai'])
param modelSource string

@description('new: region of the account; the app\'s if empty.')
param azureOpenAiLocation string = ''

@description('new: model to deploy.')
param azureOpenAiModel string

@description('new: version of the model.')
param azureOpenAiModelVersion string

@description('new, existing: format of the model, which is its provider, such as OpenAI, DeepSeek or Mistral AI.')
param azureOpenAiModelFormat string

@description('new: SKU of the deployment, such as GlobalStandard, DataZoneStandard or Standard.')
param azureOpenAiSku string

@description('new: quota of the deployment, in thousands of tokens per minute.')
@minValue(1)
param azureOpenAiCapacity int

@description('new, existing, endpoint: name of the deployment.')
param azureOpenAiChatDeployment string

@description('existing: name of the account. It needs a custom subdomain: keyless access does not work without one.')
param azureOpenAiExistingAccount string = ''

@description('existing: resource group of the account.')
param azureOpenAiExistingResourceGroup string = ''

@description('new, existing: whether a user who runs azd gets the role to use the model. false where they have it already: Azure refuses a second assignment.')
param assignDeveloperRole bool

@description('endpoint: https://NAME.openai.azure.com.')
param azureOpenAiExistingEndpoint string = ''

@description('endpoint: API key, where the app\'s identity cannot get a role.')
@secure()
param azureOpenAiApiKey string = ''

@description('openai: API key; a compatible server may not need one.')
@secure()
param openAiApiKey string = ''

@description('openai: base URL of a compatible server; OpenAI if empty.')
param openAiBaseUrl string = ''

@description('openai: name of the model.')
param openAiModel string = ''

@description('openai: true if the server implements the Responses API well enough to be relayed.')
@allowed(['', 'true', 'false'])
param openAiResponsesApi string = ''

// ── service; an empty value selects the default of chat/settings.py ─────────────────────────────────────────────────

@description('System prompt, percent-encoded: %22 is a quotation mark, %0A a newline, %25 a percent sign.')
param chatSystemPrompt string = ''

@description('Limit on the length of a completion, in tokens.')
param chatMaxCompletionTokens string = ''

@description('Reasoning effort of requests that name none. Empty: low for a new model of OpenAI, otherwise none is sent.')
@allowed(['', 'none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'])
param chatReasoningEffort string = ''

@description('Seconds to wait for the request body, the first chunk, each further chunk, or a complete response.')
param chatTimeout string = ''

@description('Messages per request.')
param chatMaxMessages string = ''

@description('Bytes per request body.')
param chatMaxRequestBytes string = ''

@description('Budget of tokens per day of the whole service; empty for none.')
param chatDailyTokens string = ''

@description('Budget of tokens per day of each API key and each signed-in person; empty for none.')
param chatDailyTokensPerClient string = ''

// ── access ──────────────────────────────────────────────────────────────────────────────────────────────────────────

@description('function: requests need a function key. anonymous: the app is open to everyone who can reach it.')
@allowed(['function', 'anonymous'])
param chatAuthLevel string

@description('Client id of an app registration: people of the tenant sign in. infra/sign_in.py makes one. Empty for none.')
param signInClientId string = ''

@description('API keys of the v1 routes: name=key pairs, separated by commas.')
@secure()
param chatApiKeys string = ''

@description('Origins whose pages may call the service, separated by commas.')
param corsAllowedOrigins string = ''

@description('public: no virtual network. backend: storage, model and key vault accept only the app. private: the app, too, is reachable only from the virtual network.')
@allowed(['public', 'backend', 'private'])
param networkAccess string

// ── monitoring ──────────────────────────────────────────────────────────────────────────────────────────────────────

@description('E-mail address for alerts and for notices of the budget; empty for none.')
param alertEmail string = ''

@description('Budget of the resource group per month, in the currency of the subscription; 0 for none.')
@minValue(0)
param monthlyBudget int

// Azure accepts only the current month for a new budget, and no other date for an existing one.
@description('First day of the month in which the budget was first deployed, such as 2027-01-01.')
param monthlyBudgetStart string = ''

@description('Days that logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int

@description('Gigabytes of logs per day, beyond which they are dropped until the next day; -1 for no cap.')
@minValue(-1)
@maxValue(1000)
param logDailyCapGB int

// ── scale ───────────────────────────────────────────────────────────────────────────────────────────────────────────

// The platform's default for Python is 1: each concurrent request would get, and be billed, an instance of its own. Here a
// request is a connection on an event loop. A chunk costs the worker some 71 µs of CPU, so 100 streams of 50 chunks per
// second take a third of the one core that 2048 MB come with, with room for the Functions host (it forwards the same
// bytes) and for bursts. Each stream takes 65 KB of memory. See docs/performance.md.
@description('Concurrent requests per instance, before the platform starts another instance.')
@minValue(1)
@maxValue(1000)
param requestsPerInstance int

@description('Memory of an instance. It determines the cores: a quarter, one, two.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int

@description('Maximum number of instances.')
@minValue(1)
@maxValue(1000)
param maximumInstances int

@description('Instances that always run and are billed all day; at most maximumInstances.')
@minValue(0)
@maxValue(1000)
param alwaysReadyInstances int

@description('What a site update (a deployment, a changed setting) does to running instances. Recreate ends their streams; RollingUpdate (preview) lets them complete.')
@allowed(['Recreate', 'RollingUpdate'])
param siteUpdateStrategy string

// ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

var token = uniqueString(subscription().id, environmentName, location)
var tags = { 'azd-env-name': environmentName }
// Known before the deployment, unlike outputs of modules: `azd provision --preview` can then predict what refers to them.
var identityName = 'id-${token}'
var applicationInsightsName = 'appi-${token}'
var storageName = 'st${token}'
var functionAppName = 'func-${token}'
// App Service then guards the app, and a browser that has signed in has no function key.
var authLevel = empty(signInClientId) ? chatAuthLevel : 'anonymous'
var hasNetwork = networkAccess != 'public'
var azureOpenAiKey = modelSource == 'endpoint' ? azureOpenAiApiKey : ''
var openAiKey = modelSource == 'openai' ? openAiApiKey : ''
var hasTokenBudget = !empty(chatDailyTokens) || !empty(chatDailyTokensPerClient)
var hasSecrets = !empty(azureOpenAiKey) || !empty(openAiKey) || !empty(chatApiKeys)
// int() fails and quotes its argument. fail() would be the function for this, but the scanner of `make scan` cannot parse it.
var alwaysReadyFits = alwaysReadyInstances <= maximumInstances
var alwaysReady = alwaysReadyFits ? alwaysReadyInstances : int('ALWAYS_READY_INSTANCES exceeds MAXIMUM_INSTANCES')
// Models that reason by default keep people waiting for the first chunk. Other models reject the parameter.
var budgetIsComplete = monthlyBudget == 0 || (!empty(alertEmail) && !empty(monthlyBudgetStart))
var budgetAmount = budgetIsComplete ? monthlyBudget : int('MONTHLY_BUDGET requires ALERT_EMAIL and MONTHLY_BUDGET_START')
var defaultReasoningEffort = modelSource == 'new' && azureOpenAiModelFormat == 'OpenAI' ? 'low' : ''
var developerPrincipalId = principalType == 'User' && assignDeveloperRole ? principalId : ''

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'app/identity.bicep' = {
  scope: group
  params: {
    name: identityName
    location: location
    tags: tags
  }
}

module monitoring 'app/monitoring.bicep' = {
  scope: group
  params: {
    workspaceName: 'log-${token}'
    applicationInsightsName: applicationInsightsName
    location: location
    tags: tags
    appPrincipalId: identity.outputs.principalId
    retentionDays: logRetentionDays
    dailyCapGB: logDailyCapGB
  }
}

module alerts 'app/alerts.bicep' = if (!empty(alertEmail)) {
  scope: group
  params: {
    name: 'alerts-${token}'
    applicationInsightsName: applicationInsightsName
    location: location
    tags: tags
    email: alertEmail
  }
  dependsOn: [monitoring]
}

module budget 'app/budget.bicep' = if (budgetAmount > 0) {
  scope: group
  params: {
    name: 'budget-${token}'
    amount: budgetAmount
    start: monthlyBudgetStart
    email: alertEmail
  }
}

module workbook 'app/workbook.bicep' = {
  scope: group
  params: {
    applicationInsightsName: applicationInsightsName
    displayName: 'Chat (${environmentName})'
    location: location
    tags: tags
  }
  dependsOn: [monitoring]
}

module storage 'app/storage.bicep' = {
  scope: group
  params: {
    name: storageName
    location: location
    tags: tags
    publicNetworkAccess: hasNetwork ? 'Disabled' : 'Enabled'
    appPrincipalId: identity.outputs.principalId
    workspaceId: monitoring.outputs.workspaceId
  }
}

module tokenBudgets 'app/token-budgets.bicep' = if (hasTokenBudget) {
  scope: group
  params: {
    storageName: storageName
    appPrincipalId: identity.outputs.principalId
  }
  dependsOn: [storage]
}

module newModel 'app/model.bicep' = if (modelSource == 'new') {
  scope: group
  params: {
    name: 'ai-${token}'
    location: empty(azureOpenAiLocation) ? location : azureOpenAiLocation
    tags: tags
    deploymentName: azureOpenAiChatDeployment
    modelName: azureOpenAiModel
    modelVersion: azureOpenAiModelVersion
    modelFormat: azureOpenAiModelFormat
    sku: azureOpenAiSku
    capacity: azureOpenAiCapacity
    publicNetworkAccess: hasNetwork ? 'Disabled' : 'Enabled'
    appPrincipalId: identity.outputs.principalId
    developerPrincipalId: developerPrincipalId
    workspaceId: monitoring.outputs.workspaceId
  }
}

module existingModel 'app/existing-model.bicep' = if (modelSource == 'existing') {
  // A module needs a scope even where its condition is false.
  scope: resourceGroup(empty(azureOpenAiExistingResourceGroup) ? group.name : azureOpenAiExistingResourceGroup)
  params: {
    name: azureOpenAiExistingAccount
    modelFormat: azureOpenAiModelFormat
    appPrincipalId: identity.outputs.principalId
    developerPrincipalId: developerPrincipalId
  }
}

module vault 'app/vault.bicep' = if (hasSecrets) {
  scope: group
  params: {
    name: 'kv-${token}'
    location: location
    tags: tags
    azureOpenAiApiKey: azureOpenAiKey
    openAiApiKey: openAiKey
    chatApiKeys: chatApiKeys
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
    zoneNames: ['privatelink.blob.${environment().suffixes.storage}']
    networkId: network!.outputs.id
    subnetId: network!.outputs.endpointSubnetId
  }
}

module tableEndpoint 'app/private-endpoint.bicep' = if (hasNetwork && hasTokenBudget) {
  scope: group
  params: {
    name: 'pe-table-${token}'
    location: location
    tags: tags
    serviceId: storage.outputs.id
    subresource: 'table'
    zoneNames: ['privatelink.table.${environment().suffixes.storage}']
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
    zoneNames: [
      'privatelink.cognitiveservices.azure.com'
      'privatelink.openai.azure.com'
      'privatelink.services.ai.azure.com'
    ]
    networkId: network!.outputs.id
    subnetId: network!.outputs.endpointSubnetId
  }
}

module vaultEndpoint 'app/private-endpoint.bicep' = if (hasNetwork && hasSecrets) {
  scope: group
  params: {
    name: 'pe-vault-${token}'
    location: location
    tags: tags
    serviceId: vault!.outputs.id
    subresource: 'vault'
    zoneNames: ['privatelink.vaultcore.azure.net']
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
    zoneNames: ['privatelink.azurewebsites.net']
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
    name: functionAppName
    planName: 'plan-${token}'
    location: location
    tags: tags
    identityName: identityName
    storageName: storageName
    packageContainer: storage.outputs.packageContainer
    applicationInsightsName: applicationInsightsName
    workspaceId: monitoring.outputs.workspaceId
    publicNetworkAccess: networkAccess == 'private' ? 'Disabled' : 'Enabled'
    subnetId: hasNetwork ? network!.outputs.appSubnetId : ''
    corsAllowedOrigins: empty(corsAllowedOrigins) ? [] : split(replace(corsAllowedOrigins, ' ', ''), ',')
    requestsPerInstance: requestsPerInstance
    instanceMemoryMB: instanceMemoryMB
    maximumInstances: maximumInstances
    alwaysReadyInstances: alwaysReady
    siteUpdateStrategy: siteUpdateStrategy
    hasSignIn: !empty(signInClientId)
    chatSettings: [
      { name: 'AZURE_OPENAI_ENDPOINT', value: azureOpenAiEndpoint }
      { name: 'AZURE_OPENAI_CHAT_DEPLOYMENT', value: modelSource == 'openai' ? '' : azureOpenAiChatDeployment }
      { name: 'AZURE_OPENAI_API_KEY', value: empty(azureOpenAiKey) ? '' : vault!.outputs.azureOpenAiApiKeyReference }
      { name: 'OPENAI_API_KEY', value: empty(openAiKey) ? '' : vault!.outputs.openAiApiKeyReference }
      { name: 'OPENAI_BASE_URL', value: modelSource == 'openai' ? openAiBaseUrl : '' }
      { name: 'OPENAI_MODEL', value: modelSource == 'openai' ? openAiModel : '' }
      { name: 'OPENAI_RESPONSES_API', value: modelSource == 'openai' ? openAiResponsesApi : '' }
      // Percent-encoded, so that one spelling works locally, where azd pastes the value into JSON as it is, and in a
      // pipeline, where `azd pipeline config` has JSON-escaped it.
      { name: 'CHAT_SYSTEM_PROMPT', value: uriComponentToString(chatSystemPrompt) }
      { name: 'CHAT_MAX_COMPLETION_TOKENS', value: chatMaxCompletionTokens }
      {
        name: 'CHAT_REASONING_EFFORT'
        value: empty(chatReasoningEffort) ? defaultReasoningEffort : chatReasoningEffort
      }
      { name: 'CHAT_TIMEOUT', value: chatTimeout }
      { name: 'CHAT_MAX_MESSAGES', value: chatMaxMessages }
      { name: 'CHAT_MAX_REQUEST_BYTES', value: chatMaxRequestBytes }
      { name: 'CHAT_DAILY_TOKENS', value: chatDailyTokens }
      { name: 'CHAT_DAILY_TOKENS_PER_CLIENT', value: chatDailyTokensPerClient }
      { name: 'CHAT_BUDGET_STORAGE_ENDPOINT', value: hasTokenBudget ? storage.outputs.tableEndpoint : '' }
      { name: 'CHAT_AUTH_LEVEL', value: authLevel }
      { name: 'CHAT_API_KEYS', value: empty(chatApiKeys) ? '' : vault!.outputs.chatApiKeysReference }
    ]
  }
  // The host reads storage and the secrets as soon as the app exists.
  dependsOn: [storageEndpoint, tableEndpoint, modelEndpoint, vaultEndpoint]
}

module signIn 'app/sign-in.bicep' = if (!empty(signInClientId)) {
  scope: group
  params: {
    appName: functionAppName
    clientId: signInClientId
    // The app itself checks the API keys of the v1 routes.
    openPaths: empty(chatApiKeys) ? ['/api/health'] : ['/api/health', '/api/v1/*']
  }
  dependsOn: [functionApp]
}

var openAiLocalSettings = {
  OPENAI_BASE_URL: openAiBaseUrl
  OPENAI_MODEL: openAiModel
  OPENAI_API_KEY: ''
}
var azureLocalSettings = {
  AZURE_OPENAI_ENDPOINT: azureOpenAiEndpoint
  AZURE_OPENAI_CHAT_DEPLOYMENT: azureOpenAiChatDeployment
  AZURE_TENANT_ID: tenant().tenantId
}

// `azd down` deletes every output from the environment, so none may have the name of an environment value that is also an
// input: the next `azd up` would take the default in its place, and create and bill a second model.
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_FUNCTION_NAME string = functionApp.outputs.name
output APP_IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId
output APP_URL string = 'https://${functionApp.outputs.hostName}'

@description('Values for local.settings.json, with which the app on a developer\'s machine uses the same model.')
output LOCAL_SETTINGS object = modelSource == 'openai' ? openAiLocalSettings : azureLocalSettings
