"""The validation of a request's body, for every format."""

from typing import Annotated, Any

import pydantic_core
from pydantic import AfterValidator, BaseModel, ValidationError

from chat.errors import InvalidRequest, field_path
from chat.json_scan import replace_lone_surrogates

# Pydantic's messages for these use Python's terms.
_MESSAGES = {
    "dict_type": "Input should be an object",
    "list_type": "Input should be an array",
    "too_short": "Input should have at least 1 item",
    "model_type": "Input should be an object",
}


_BOM = b"\xef\xbb\xbf"


def _check_string_or_object(value: object) -> object:
    if not isinstance(value, str | dict):
        raise ValueError("Input should be a string or an object")
    return value


type Object = dict[str, Any]
type StringOrObject = Annotated[Any, AfterValidator(_check_string_or_object)]


def validate[T: BaseModel](
    model: type[T], body: bytes, max_messages: int, messages_key: str = "messages"
) -> tuple[dict[str, Any], T]:
    """Returns a body as received and as the model; raises `InvalidRequest`, which names the first invalid field."""
    try:
        value = _parse(body.removeprefix(_BOM))
    except ValueError as error:
        raise InvalidRequest(f"The body is not valid JSON in UTF-8: {error}.") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The body is not a JSON object.")
    messages = value.get(messages_key)
    if isinstance(messages, list) and len(messages) > max_messages:
        raise InvalidRequest(f"{messages_key}: Input should have at most {max_messages} items.", param=messages_key)
    try:
        return value, model.model_validate(value)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_context=False, include_input=False)[0]
        param = field_path(detail["loc"])
        message = _MESSAGES.get(detail["type"], detail["msg"].removeprefix("Value error, "))
        raise InvalidRequest(f"{param}: {message}.", param=param) from None


def _parse(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Parses JSON; a lone surrogate, for instance at the end of a truncated text, becomes U+FFFD. Raises `ValueError`."""
    # `model_validate_json` would accept NaN, which is not JSON, and keep content in pydantic's cache of strings.
    try:
        return pydantic_core.from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        replaced = replace_lone_surrogates(body)
        if replaced == body:
            raise
        return pydantic_core.from_json(replaced, allow_inf_nan=False, cache_strings="keys")
