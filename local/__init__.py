"""What stands in for Azure and for the model on a developer's machine. Never deployed, never imported by `chat`."""
