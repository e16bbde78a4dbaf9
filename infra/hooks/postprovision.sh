#!/bin/sh
# Writes local.settings.json, so that the app on this machine asks the deployed model. One that is there is left alone.
set -eu
cd "$(dirname "$0")/../.."

if [ -e local.settings.json ]; then
    echo "local.settings.json is there already: left as it is."
    exit 0
fi

# An output of the deployment, as a JSON string.
output() {
    value=$(azd env get-value "$1" ${AZURE_ENV_NAME:+--environment "$AZURE_ENV_NAME"})
    printf '"%s"' "$(printf '%s' "$value" | sed 's/\\/\\\\/g; s/"/\\"/g')"
}

source=$(output MODEL_SOURCE)
if [ "$source" = '"openai"' ]; then
    base_url=$(output OPENAI_BASE_URL)
    model=$(output OPENAI_MODEL)
    settings="\"OPENAI_BASE_URL\": $base_url,
    \"OPENAI_MODEL\": $model,
    \"OPENAI_API_KEY\": \"\""
    then="Put your key, if the model's server asks for one, into its OPENAI_API_KEY."
else
    endpoint=$(output AZURE_OPENAI_ENDPOINT)
    deployment=$(output AZURE_OPENAI_CHAT_DEPLOYMENT)
    tenant=$(output AZURE_TENANT_ID)
    settings="\"AZURE_OPENAI_ENDPOINT\": $endpoint,
    \"AZURE_OPENAI_CHAT_DEPLOYMENT\": $deployment,
    \"AZURE_TENANT_ID\": $tenant"
    then="It holds no key: on this machine the app signs in as you do with azd."
fi

cat >local.settings.json <<END
{
  "IsEncrypted": false,
  "Values": {
    "FUNCTIONS_WORKER_RUNTIME": "python",
    "AzureWebJobsStorage": "",
    $settings
  },
  "Host": {
    "LocalHttpPort": 7071,
    "CORS": "*"
  }
}
END
echo "local.settings.json is written. $then"
