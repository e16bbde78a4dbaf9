"""Estimates the tokens of a completion whose usage the model server has not sent: more rather than fewer than it has used.

Otherwise a client could disconnect just before the usage, and use the model for nothing.
"""

import re
from itertools import islice
from math import ceil

# Tokenizers put some 4 bytes of English text into a token, and 3 of JSON or of digits.
_BYTES_PER_TOKEN = 3

# What OpenAI's models count for a large image in high detail.
_TOKENS_PER_IMAGE = 2_500
_IMAGE = re.compile(rb'url":"(?:data:image/[\w.+-]+;base64,[\w+/=-]*|https?://[^"\s]{1,2048})"')

# The context of the largest models: they reject what is longer.
_MAX_INPUT_TOKENS = 1_000_000

# JSON around the text of a chunk; a server that sends several tokens in one exceeds it.
_BYTES_AROUND_TEXT = 512

# Models reason without sending anything. They generate some 50 to 150 tokens in a second, and none as many as the maximum.
_TOKENS_PER_SECOND = 100
_MAX_TOKENS_PER_SECOND = 3_000


def estimate_input(body: bytes) -> int:
    """The tokens of a request's body: of its text, and of each image in it; a million at most."""
    matches = islice(_IMAGE.finditer(body), _MAX_INPUT_TOKENS // _TOKENS_PER_IMAGE)
    images = [match.end() - match.start() for match in matches]
    tokens = ceil((len(body) - sum(images)) / _BYTES_PER_TOKEN) + len(images) * _TOKENS_PER_IMAGE
    return min(tokens, _MAX_INPUT_TOKENS)


def estimate_output(chunks: int, received_bytes: int, seconds: float) -> int:
    """The tokens of what has arrived of a completion, or of what may have been generated in the time, if that is more.

    A chunk has at least one token, and more if it is large, unless what makes it large is no text: log probabilities, for
    instance, or the request, which some model servers repeat.
    """
    text_bytes = max(0, received_bytes - chunks * _BYTES_AROUND_TEXT)
    text_tokens = min(ceil(text_bytes / _BYTES_PER_TOKEN), ceil(seconds * _MAX_TOKENS_PER_SECOND))
    return max(chunks + text_tokens, ceil(seconds * _TOKENS_PER_SECOND))
