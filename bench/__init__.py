"""This service beside others that do the same, under the same load: `make bench`."""
