"""Translates between Chat Completions and the Responses API: pure modules, one for each direction."""
