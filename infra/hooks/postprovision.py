"""Writes local.settings.json, with which the app on this machine uses the deployed model.

azd runs this after `azd provision` and passes the environment's values as environment variables. An existing file is not
changed.
"""

import json
import os
import sys
from pathlib import Path

PATH = Path(__file__).resolve().parents[2] / "local.settings.json"


def main() -> None:
    """Exits with an error where the deployment has not set LOCAL_SETTINGS."""
    if "LOCAL_SETTINGS" not in os.environ:
        sys.exit("LOCAL_SETTINGS is not set: run `azd provision`, which calls this hook.")
    model = json.loads(os.environ["LOCAL_SETTINGS"])
    settings = {
        "IsEncrypted": False,
        "Values": {"FUNCTIONS_WORKER_RUNTIME": "python", "AzureWebJobsStorage": "", **model},
        "Host": {"LocalHttpPort": 7071},
    }
    try:
        with PATH.open("x", encoding="utf-8") as file:
            file.write(json.dumps(settings, indent=2) + "\n")
    except FileExistsError:
        sys.stdout.write("local.settings.json exists and was not changed.\n")
        return
    if "OPENAI_API_KEY" in model:
        note = "If the model server needs a key, set OPENAI_API_KEY in it."
    else:
        note = "It contains no key: on this machine the app uses your azd or Azure CLI sign-in."
    sys.stdout.write(f"Wrote local.settings.json. {note}\n")


main()
