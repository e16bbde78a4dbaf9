"""A chat completion for one HTTP request: see `routes` for where a request comes in, and follow it from there."""
