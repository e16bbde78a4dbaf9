using '../main.bicep'

param environmentName = 'test'
param location = 'swedencentral'
param principalId = 'developer'
param principalType = 'User'
param modelSource = 'new'
param azureOpenAiModel = 'gpt-5.4-mini'
param azureOpenAiModelVersion = '2026-03-17'
param azureOpenAiSku = 'GlobalStandard'
param azureOpenAiCapacity = 30
param azureOpenAiChatDeployment = 'chat'
param assignDeveloperRole = true
param chatAuthLevel = 'function'
param networkAccess = 'public'
param requestsPerInstance = 100
param instanceMemoryMB = 2048
param maximumInstances = 40
param alwaysReadyInstances = 0
param siteUpdateStrategy = 'Recreate'
