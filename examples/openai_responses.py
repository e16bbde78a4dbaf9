"""Prints a completion as it is streamed by OpenAI's Responses API. It needs `pip install openai`."""

from openai import OpenAI

client = OpenAI(base_url="http://localhost:7071/api/v1", api_key="not required on this machine")
for event in client.responses.create(model="any", input="What is the capital of Japan?", stream=True):
    if event.type == "response.output_text.delta":
        print(event.delta, end="", flush=True)
print()
