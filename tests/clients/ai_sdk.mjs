// The AI SDK: its default provider for OpenAI, whose API is Responses, and the one for compatible servers.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";

import { api, apiKey, baseURL, localTime, model as id, questions, run, temperature } from "./scenarios.mjs";

const provider =
  api === "responses"
    ? createOpenAI({ baseURL, apiKey })
    : createOpenAICompatible({ name: "service", baseURL, apiKey, supportsStructuredOutputs: true });
const model = provider(id);
const NOT_STORED = { openai: { store: false } };

const City = z.object({ name: z.string(), population: z.number() });
const inputSchema = z.object({ city: z.string() });
const tools = {
  temperature: tool({ inputSchema, execute: async (input) => temperature(input) }),
  local_time: tool({ inputSchema, execute: async (input) => localTime(input) }),
};

async function* stream(options) {
  let failure;
  const result = streamText({ model, ...options, onError: ({ error }) => (failure = error) });
  yield* result.textStream;
  if (failure) throw failure;
}

async function read(options) {
  let text = "";
  for await (const piece of stream(options)) text += piece;
  return text;
}

async function twoTurns(providerOptions) {
  const messages = [{ role: "user", content: questions.first }];
  const first = await generateText({ model, messages, providerOptions });
  messages.push(...first.response.messages, { role: "user", content: questions.second });
  return (await generateText({ model, messages, providerOptions })).text;
}

const withTools = (providerOptions) => ({ prompt: questions.tools, tools, stopWhen: isStepCount(3), providerOptions });

await run({
  complete: async (prompt, abortSignal) => (await generateText({ model, prompt, abortSignal })).text,
  stream: (prompt, abortSignal) => stream({ prompt, abortSignal }),
  structured: async () =>
    JSON.stringify(
      (await generateText({ model, prompt: "Describe Tokyo.", output: Output.object({ schema: City }) })).output,
    ),
  ...(api === "responses" && {
    "two turns, store by default": () => twoTurns(),
    "tools, store by default": async () => (await generateText({ model, ...withTools() })).text,
  }),
  "two turns": () => twoTurns(NOT_STORED),
  tools: async () => (await generateText({ model, ...withTools(NOT_STORED) })).text,
  "tools, streamed": () => read(withTools(NOT_STORED)),
});
