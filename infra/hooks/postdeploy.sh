#!/bin/sh
# Says where the service is, how to get its key, and how to call it.
set -eu

output() {
    azd env get-value "$1" ${AZURE_ENV_NAME:+--environment "$AZURE_ENV_NAME"}
}

url=$(output CHAT_URL)
group=$(output AZURE_RESOURCE_GROUP)
app=$(output AZURE_FUNCTION_NAME)
subscription=$(output AZURE_SUBSCRIPTION_ID)

cat <<END

The chat is at $url: a page in a browser, an API for programs. Both ask for the function's key.

key=\$(az functionapp keys list --subscription $subscription --resource-group $group --name $app --query functionKeys.default --output tsv)

curl -N $url -H "x-functions-key: \$key" -H 'content-type: application/json' -d '{"messages":[{"content":"What is the capital of France?"}]}'
END
