"""Budgets of tokens per day: counts what clients use, in this worker or in all of them, and admits requests.

Nothing here knows HTTP, a wire format, a client's key or the model server's protocol.
"""
