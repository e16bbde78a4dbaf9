"""What serves the two pages and the OpenAPI document."""
