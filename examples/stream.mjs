// Prints a completion as it is streamed from /api/chat, in Node; in a page, its origin must be in CORS_ALLOWED_ORIGINS.
const url = "http://localhost:7071/api/chat";
const headers = { "content-type": "application/json", "x-functions-key": "not required on this machine" };

const body = JSON.stringify({ messages: [{ content: "What is the capital of Japan?" }] });
const response = await fetch(url, { method: "POST", headers, body });
if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
let rest = "";
for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + part).split("\n");
  rest = lines.pop();
  for (const chunk of lines.map((line) => JSON.parse(line))) {
    if (chunk.error) throw new Error(chunk.error.message);
    process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
  }
}
console.log();
