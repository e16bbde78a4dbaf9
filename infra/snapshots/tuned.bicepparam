using '../main.bicep'

param environmentName = 'test'
param location = 'swedencentral'
param principalId = 'developer'
param principalType = 'User'
param modelSource = 'new'
param azureOpenAiLocation = 'eastus2'
param azureOpenAiModel = 'm'
param azureOpenAiModelVersion = 'v'
param azureOpenAiSku = 'Standard'
param azureOpenAiCapacity = 5
param azureOpenAiChatDeployment = 'mine'
param assignDeveloperRole = true
param chatSystemPrompt = 'You are a %22pirate%22.%0AAnswer in one sentence.'
param chatMaxCompletionTokens = '500'
param chatTimeout = '30'
param chatMaxMessages = '7'
param chatMaxRequestBytes = '4096'
param chatAuthLevel = 'anonymous'
param corsAllowedOrigins = 'https://a.example, https://b.example'
param networkAccess = 'public'
param requestsPerInstance = 250
param instanceMemoryMB = 4096
param maximumInstances = 5
param alwaysReadyInstances = 2
param siteUpdateStrategy = 'RollingUpdate'
