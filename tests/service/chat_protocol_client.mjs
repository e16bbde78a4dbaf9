// The AI Chat Protocol's own client: sends the request in its arguments, and prints what it receives as lines of JSON.
import { AIChatProtocolClient } from "@microsoft/ai-chat-protocol";

const [endpoint, mode] = process.argv.slice(2);
const client = new AIChatProtocolClient(endpoint, { retryOptions: { maxRetries: 0 }, allowInsecureConnection: true });
const messages = [{ role: "user", content: "What is the capital of Japan?" }];
const options = { context: { a: 1 }, sessionState: { turn: 3, who: [null, "ünï"] } };
const print = (value) => console.log(JSON.stringify(value));

try {
  if (mode === "complete") {
    print(await client.getCompletion(messages, options));
  } else {
    const abort = new AbortController();
    for await (const delta of await client.getStreamedCompletion(messages, { ...options, abortSignal: abort.signal })) {
      print(delta);
      if (mode === "abort" && delta.delta.content) abort.abort();
    }
  }
} catch (error) {
  print({ thrown: error.name, code: error.code, message: error.message });
}
