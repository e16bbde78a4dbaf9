# Writes local.settings.json, so that the app on this machine asks the deployed model. One that is there is left alone.
$ErrorActionPreference = 'Stop'
Set-Location (Join-Path $PSScriptRoot '../..')

if (Test-Path local.settings.json) {
    Write-Output 'local.settings.json is there already: left as it is.'
    exit 0
}

# An output of the deployment.
function Get-Output([string] $Name) {
    $options = if ($env:AZURE_ENV_NAME) { @('--environment', $env:AZURE_ENV_NAME) } else { @() }
    $value = azd env get-value $Name @options
    if ($LASTEXITCODE -ne 0) { throw "azd has no value $Name." }
    return "$value"
}

$values = [ordered]@{
    FUNCTIONS_WORKER_RUNTIME = 'python'
    AzureWebJobsStorage = ''
}
if ((Get-Output 'MODEL_SOURCE') -eq 'openai') {
    $values.OPENAI_BASE_URL = Get-Output 'OPENAI_BASE_URL'
    $values.OPENAI_MODEL = Get-Output 'OPENAI_MODEL'
    $values.OPENAI_API_KEY = ''
    $then = "Put your key, if the model's server asks for one, into its OPENAI_API_KEY."
} else {
    $values.AZURE_OPENAI_ENDPOINT = Get-Output 'AZURE_OPENAI_ENDPOINT'
    $values.AZURE_OPENAI_CHAT_DEPLOYMENT = Get-Output 'AZURE_OPENAI_CHAT_DEPLOYMENT'
    $values.AZURE_TENANT_ID = Get-Output 'AZURE_TENANT_ID'
    $then = 'It holds no key: on this machine the app signs in as you do with azd.'
}

[ordered]@{
    IsEncrypted = $false
    Values = $values
    Host = [ordered]@{
        LocalHttpPort = 7071
        CORS = '*'
    }
} | ConvertTo-Json | Set-Content -Path local.settings.json -Encoding utf8NoBOM
Write-Output "local.settings.json is written. $then"
