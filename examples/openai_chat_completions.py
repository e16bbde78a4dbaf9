"""Prints a completion as it is streamed by OpenAI's Chat Completions API. It needs `pip install openai`."""

from openai import OpenAI

client = OpenAI(base_url="http://localhost:7071/api/v1", api_key="not required on this machine")
chunks = client.chat.completions.create(
    model="any",
    messages=[{"role": "user", "content": "What is the capital of Japan?"}],
    temperature=0,
    max_tokens=200,
    stream=True,
)
for chunk in chunks:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
