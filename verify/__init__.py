"""Black-box checks of a running instance over HTTP: `make verify`. Never deployed, never imported by `chat`."""
