"""Prints a completion as it is streamed from /api/chat. It needs `pip install requests`."""

import json

import requests

URL = "http://localhost:7071/api/chat"
HEADERS = {"x-functions-key": "not required on this machine"}

question = {"messages": [{"content": "What is the capital of Japan?"}]}
with requests.post(URL, json=question, headers=HEADERS, stream=True, timeout=230) as response:
    if not response.ok:
        raise SystemExit(f"{response.status_code} {response.text}")
    for line in response.iter_lines():
        chunk = json.loads(line)
        if chunk.get("error"):
            raise SystemExit(chunk["error"]["message"])
        for choice in chunk["choices"]:
            print(choice.get("delta", {}).get("content") or "", end="", flush=True)
    print()
