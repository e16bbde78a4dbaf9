"""The model server: sends a request, reads the response, and is prepared for whatever arrives.

Nothing here knows the client, its wire format or the web framework.
"""
