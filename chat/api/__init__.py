"""One exchange with a client: joins a format with the model server. No other package of `chat` knows the web framework."""
