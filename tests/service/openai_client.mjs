// OpenAI's own client for JavaScript: sends the request in its arguments, and prints what it receives as lines of JSON.
import OpenAI from "openai";

const [baseURL, mode, apiKey = "anything"] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const body = { model: "any", messages: [{ role: "user", content: "What is the capital of Japan?" }] };
const print = (value) => console.log(JSON.stringify(value));

try {
  if (mode === "models") {
    for await (const model of client.models.list()) print(model);
  } else if (mode === "complete") {
    print(await client.chat.completions.create(body));
  } else {
    const stream = await client.chat.completions.create({ ...body, stream: true });
    for await (const chunk of stream) {
      print(chunk);
      if (mode === "abort" && chunk.choices[0].delta.content) stream.controller.abort();
    }
  }
} catch (error) {
  print({ thrown: error.constructor.name, status: error.status ?? null, code: error.code ?? null, message: error.message });
}
