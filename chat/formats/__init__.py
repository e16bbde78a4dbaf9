"""The wire formats, a module each: how a client's request is parsed, and how its response is encoded.

Nothing here knows the model server, the web framework or the settings.
"""
