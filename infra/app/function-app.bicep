param name string
param planName string
param location string
param tags object
param identityName string
param storageName string
param packageContainer string
param applicationInsightsName string
param workspaceId string

@allowed(['Enabled', 'Disabled'])
param publicNetworkAccess string

@description('The subnet that the app joins; empty for none.')
param subnetId string

param corsAllowedOrigins array
param chatsPerInstance int
param instanceMemoryMB int
param maximumInstances int
param alwaysReadyInstances int

@description('The settings of chat/settings.py; an empty one counts as one that is not set.')
param chatSettings object

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource storage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageName
}

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  // checkov:skip=CKV_AZURE_225: zones take always-ready instances, which are paid for all day
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  // checkov:skip=CKV_AZURE_17: callers show the function's key; certificates would shut out every page
  // checkov:skip=CKV_AZURE_18: a stream of lines gains nothing from HTTP/2
  // checkov:skip=CKV_AZURE_67: likewise
  // checkov:skip=CKV_AZURE_78: Flex Consumption has no FTP, and refuses the setting
  // checkov:skip=CKV_AZURE_212: an idle app has no instance at all; alwaysReadyInstances keeps some
  // checkov:skip=CKV_AZURE_213: Flex Consumption replaces instances by itself
  // checkov:skip=CKV_AZURE_222: people are to reach it; networkAccess closes it
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'chat' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: publicNetworkAccess
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    keyVaultReferenceIdentity: identity.id
    siteConfig: {
      minTlsVersion: '1.2'
      cors: {
        allowedOrigins: corsAllowedOrigins
        supportCredentials: false
      }
    }
    functionAppConfig: {
      runtime: {
        name: 'python'
        version: '3.13'
      }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${packageContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identity.id
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstances
        alwaysReady: alwaysReadyInstances > 0 ? [{ name: 'http', instanceCount: alwaysReadyInstances }] : []
        triggers: {
          http: { perInstanceConcurrency: chatsPerInstance }
        }
      }
    }
  }

  resource settings 'config' = {
    name: 'appsettings'
    properties: union(chatSettings, {
      AZURE_CLIENT_ID: identity.properties.clientId
      AZURE_TENANT_ID: tenant().tenantId
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: identity.properties.clientId
      AzureWebJobsStorage__blobServiceUri: storage.properties.primaryEndpoints.blob
      APPLICATIONINSIGHTS_CONNECTION_STRING: applicationInsights.properties.ConnectionString
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.properties.clientId};Authorization=AAD'
    })
  }

  // Deployments sign in with Microsoft Entra ID; these would be passwords. One after the other: a site that is being
  // changed refuses another change.
  resource noFtpPassword 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
    dependsOn: [settings]
  }

  resource noDeploymentPassword 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
    dependsOn: [noFtpPassword]
  }
}

// Only numbers: what the host and the worker say is in Application Insights already.
resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: app
  name: 'to-workspace'
  properties: {
    workspaceId: workspaceId
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

output id string = app.id
output name string = app.name
output hostName string = app.properties.defaultHostName
