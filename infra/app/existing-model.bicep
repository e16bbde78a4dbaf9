param name string
param modelFormat string
param appPrincipalId string
param developerPrincipalId string

resource account 'Microsoft.CognitiveServices/accounts@2025-12-01' existing = {
  name: name
}

module roles 'model-roles.bicep' = {
  params: {
    accountName: account.name
    modelFormat: modelFormat
    appPrincipalId: appPrincipalId
    developerPrincipalId: developerPrincipalId
  }
}

// Not properties.endpoint: that of a Foundry account is another one.
output endpoint string = 'https://${account.properties.customSubDomainName}.openai.azure.com/'
