"""Estimates the tokens of a completion whose usage the model server has not sent: more rather than fewer than it has used.

Otherwise a client could disconnect just before the usage, and use the model for nothing.
"""

import re
from math import ceil

# Tokenizers put some 4 bytes of English text into a token, and 3 of JSON or of digits.
_BYTES_PER_TOKEN = 3

# What OpenAI's models count for a large image in high detail.
_TOKENS_PER_IMAGE = 2_500
_IMAGE = re.compile(rb'"(?:image_)?url":"(?:data:image/|http)[^"]*"')

# JSON around the text of a chunk; a server that sends several tokens in one exceeds it.
_BYTES_AROUND_TEXT = 512

# Models reason without sending anything. They generate some 50 to 150 tokens in a second.
_TOKENS_PER_SECOND = 100


def estimate_input(body: bytes) -> int:
    """The tokens of a request's body: of its text, and of each image in it."""
    images = [match.end() - match.start() for match in _IMAGE.finditer(body)]
    return ceil((len(body) - sum(images)) / _BYTES_PER_TOKEN) + len(images) * _TOKENS_PER_IMAGE


def estimate_output(chunks: int, received_bytes: int, seconds: float) -> int:
    """The tokens of what has arrived of a completion, or of what may have been generated in the time, if that is more.

    A chunk has at least one token, and more if it is large.
    """
    text_bytes = max(0, received_bytes - chunks * _BYTES_AROUND_TEXT)
    return max(chunks + ceil(text_bytes / _BYTES_PER_TOKEN), ceil(seconds * _TOKENS_PER_SECOND))
