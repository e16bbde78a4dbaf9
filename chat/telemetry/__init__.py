"""The log line of a request, and how it is written. Nothing here knows a wire format or the model server's protocol."""
