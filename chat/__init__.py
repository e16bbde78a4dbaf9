"""A chat completion for one HTTP request: see `function_app.py` for where a request comes in, and follow it from there."""
