using '../main.bicep'

param environmentName = 'test'
param location = 'swedencentral'
param principalId = 'developer'
param principalType = 'User'
param modelSource = 'new'
param azureOpenAiModel = 'gpt-6-luna'
param azureOpenAiModelVersion = '2026-09-22'
param azureOpenAiModelFormat = 'OpenAI'
param azureOpenAiSku = 'GlobalStandard'
param azureOpenAiCapacity = 30
param azureOpenAiChatDeployment = 'chat'
param assignDeveloperRole = true
param chatDailyTokensPerClient = '100000'
param chatAuthLevel = 'function'
param chatApiKeys = 'alice=0123456789abcdefghij'
param networkAccess = 'backend'
param monthlyBudget = 0
param logRetentionDays = 30
param logDailyCapGB = 5
param requestsPerInstance = 100
param instanceMemoryMB = 2048
param maximumInstances = 40
param alwaysReadyInstances = 0
param siteUpdateStrategy = 'Recreate'
