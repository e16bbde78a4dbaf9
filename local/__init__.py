"""A Functions host and a model server for a developer's machine. Never deployed, never imported by `chat`."""
