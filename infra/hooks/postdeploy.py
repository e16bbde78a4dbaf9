"""Prints the service's address and commands that call it.

azd runs this after `azd deploy` and passes the environment's values as environment variables.
"""

import os
import sys

REQUEST = '{"messages":[{"content":"What is the capital of Japan?"}]}'


def main() -> None:
    """Exits with an error where the deployment has not set the values."""
    try:
        url = os.environ["APP_URL"]
        app = (
            f"--subscription {os.environ['AZURE_SUBSCRIPTION_ID']} --resource-group {os.environ['AZURE_RESOURCE_GROUP']} "
            f"--name {os.environ['AZURE_FUNCTION_NAME']}"
        )
    except KeyError as missing:
        sys.exit(f"{missing.args[0]} is not set: run `azd provision` first.")
    sys.stdout.write(
        f"\nThe service is at {url}/api/chat: a page for browsers, an API for programs.\n"
        f"The base URL for OpenAI clients is {url}/api/v1.\n"
    )
    if os.environ.get("SIGN_IN_CLIENT_ID"):
        # Only a browser can sign in.
        return
    windows = os.name == "nt"
    header = verify = ""
    commands = []
    if os.environ.get("CHAT_AUTH_LEVEL") != "anonymous":
        key = f"az functionapp keys list {app} --query functionKeys.default --output tsv"
        commands.append(f"$key = {key}" if windows else f"key=$({key})")
        header, verify = ' -H "x-functions-key: $key"', ' KEY="$key"'
    commands.append(f"curl -N {url}/api/chat{header} -H 'content-type: application/json' -d '{REQUEST}'")
    if not windows:
        commands.append(f"make verify URL={url}{verify}")
    sys.stdout.write("\n" + "\n\n".join(commands) + "\n")


main()
