# Says where the service is, how to get its key, and how to call it.
$ErrorActionPreference = 'Stop'

function Get-Output([string] $Name) {
    $options = if ($env:AZURE_ENV_NAME) { @('--environment', $env:AZURE_ENV_NAME) } else { @() }
    $value = azd env get-value $Name @options
    if ($LASTEXITCODE -ne 0) { throw "azd has no value $Name." }
    return "$value"
}

$url = Get-Output 'CHAT_URL'
$group = Get-Output 'AZURE_RESOURCE_GROUP'
$app = Get-Output 'AZURE_FUNCTION_NAME'
$subscription = Get-Output 'AZURE_SUBSCRIPTION_ID'

Write-Output @"

The chat is at ${url}: a page in a browser, an API for programs. Both ask for the function's key.

`$key = az functionapp keys list --subscription $subscription --resource-group $group --name $app --query functionKeys.default --output tsv

curl -N $url -H "x-functions-key: `$key" -H 'content-type: application/json' -d '{"messages":[{"content":"What is the capital of France?"}]}'
"@
