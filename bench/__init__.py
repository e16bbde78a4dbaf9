"""Compares this service with others under the same load: `make bench`."""
