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

@description('Subnet that the app joins; empty for none.')
param subnetId string

param corsAllowedOrigins array
param requestsPerInstance int
param instanceMemoryMB int
param maximumInstances int
param alwaysReadyInstances int
param siteUpdateStrategy string

@description('Whether people sign in.')
param hasSignIn bool

@description('Settings of chat/settings.py as { name, value }; an empty value counts as not set.')
param chatSettings array

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource storage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageName
}

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

// App Service authentication uses this identity instead of a client secret.
var signInSettings = [{ name: 'OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID', value: identity.properties.clientId }]

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  // checkov:skip=CKV_AZURE_225: zone redundancy needs always-ready instances, which are billed all day
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
  // checkov:skip=CKV_AZURE_17: clients send a key; client certificates would exclude web pages
  // checkov:skip=CKV_AZURE_78: Flex Consumption has no FTP and rejects the setting
  // checkov:skip=CKV_AZURE_212: an idle app has no instances; alwaysReadyInstances changes that
  // checkov:skip=CKV_AZURE_213: Flex Consumption replaces unhealthy instances
  // checkov:skip=CKV_AZURE_222: a public API; networkAccess closes it
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
    // No instance has anything that a client's next request would need.
    clientAffinityEnabled: false
    publicNetworkAccess: publicNetworkAccess
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    keyVaultReferenceIdentity: identity.id
    siteConfig: {
      minTlsVersion: '1.2'
      http20Enabled: true
      cors: {
        allowedOrigins: corsAllowedOrigins
        supportCredentials: false
      }
      // Here and not in a `config` resource of their own: that would be a second site update, and each one recreates the
      // running instances.
      appSettings: concat(chatSettings, hasSignIn ? signInSettings : [], [
        { name: 'AZURE_CLIENT_ID', value: identity.properties.clientId }
        { name: 'AZURE_TENANT_ID', value: tenant().tenantId }
        { name: 'AzureWebJobsStorage__credential', value: 'managedidentity' }
        { name: 'AzureWebJobsStorage__clientId', value: identity.properties.clientId }
        { name: 'AzureWebJobsStorage__blobServiceUri', value: storage.properties.primaryEndpoints.blob }
        { name: 'APPLICATIONINSIGHTS_CONNECTION_STRING', value: applicationInsights.properties.ConnectionString }
        {
          name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING'
          value: 'ClientId=${identity.properties.clientId};Authorization=AAD'
        }
      ])
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
          http: { perInstanceConcurrency: requestsPerInstance }
        }
      }
      // Documented for this resource since API version 2023-12-01; Bicep's types do not have it yet.
      #disable-next-line BCP037
      siteUpdateStrategy: siteUpdateStrategy == 'Recreate' ? null : { type: siteUpdateStrategy }
    }
  }

  // Deployments authenticate through Microsoft Entra ID; this disables the site's deployment password. There is no `ftp`
  // policy: Flex Consumption has no FTP.
  resource noDeploymentPassword 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }
}

// Metrics only: the logs of the host and the worker are in Application Insights.
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
