"""What the service logs for a request, as far as queries and the guide depend on it."""

LOG_KEYS = [
    "invocation_id",
    "trace_id",
    "function",
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.request.stream",
    "gen_ai.response.model",
    "gen_ai.response.id",
    "gen_ai.response.finish_reasons",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.response.time_to_first_chunk",
    "duration",
    "chunks",
    "status",
    "outcome",
    "error.type",
    "reason",
    "api_key_name",
]
OUTCOMES = ["completed", "failed", "disconnected"]
