// App Service authentication: people of the tenant sign in. The registration trusts the app's identity, so that there is no
// client secret. Any application of the tenant may send a token for the registration; an assignment requirement on its
// enterprise application limits that.

param appName string
param clientId string

@description('Paths that need no sign-in.')
param openPaths array

resource app 'Microsoft.Web/sites@2025-03-01' existing = {
  name: appName
}

resource signIn 'Microsoft.Web/sites/config@2025-03-01' = {
  // checkov:skip=CKV_AZURE_13: this is the authentication; the scanner knows only the first version of its settings
  // checkov:skip=CKV_AZURE_63: the resource has only the authentication; the site's settings are in function-app.bicep
  // checkov:skip=CKV_AZURE_65: see CKV_AZURE_63
  // checkov:skip=CKV_AZURE_66: see CKV_AZURE_63
  // checkov:skip=CKV_AZURE_80: see CKV_AZURE_63
  // checkov:skip=CKV_AZURE_88: see CKV_AZURE_63
  // checkov:skip=CKV_AZURE_222: see CKV_AZURE_63
  parent: app
  name: 'authsettingsV2'
  properties: {
    platform: { enabled: true }
    globalValidation: {
      requireAuthentication: true
      unauthenticatedClientAction: 'RedirectToLoginPage'
      redirectToProvider: 'azureactivedirectory'
      excludedPaths: openPaths
    }
    httpSettings: { requireHttps: true }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
          clientId: clientId
          clientSecretSettingName: 'OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID'
        }
        validation: { allowedAudiences: [clientId, 'api://${clientId}'] }
      }
    }
    // The app needs no tokens of people, and instances share no disk to keep them on.
    login: { tokenStore: { enabled: false } }
  }
}
