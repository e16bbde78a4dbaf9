"""One exchange with a client: joins a wire format with the model server. It alone knows the web framework."""
