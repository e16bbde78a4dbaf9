"""Serves the two pages and the OpenAPI document."""
