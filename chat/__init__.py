"""The chat service: `function_app.py` has its routes, and `docs/architecture.md` follows a request through it."""
