// OpenAI's own client for JavaScript: `create`, `stream` and `parse` of both APIs.
import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import { api, apiKey, baseURL, localTime, model, questions, run, temperature } from "./scenarios.mjs";

const client = new OpenAI({ baseURL, apiKey });
const City = z.object({ name: z.string(), population: z.number() });
const functions = { temperature, local_time: localTime };
const parameters = z.object({ city: z.string() });

const responses = {
  complete: async (input, signal) => (await client.responses.create({ model, input }, { signal })).output_text,
  async *stream(input, signal) {
    for await (const event of await client.responses.create({ model, input, stream: true }, { signal })) {
      if (event.type === "response.output_text.delta") yield event.delta;
    }
  },
  "streamed, with the helper": async () =>
    (await client.responses.stream({ model, input: questions.first }).finalResponse()).output_text,
  "fails mid-stream, with the helper": async () =>
    (await client.responses.stream({ model, input: questions.fails }).finalResponse()).output_text,
  "two turns": async () => {
    const input = [{ role: "user", content: questions.first }];
    const first = await client.responses.create({ model, input });
    input.push(...first.output, { role: "user", content: questions.second });
    return (await client.responses.create({ model, input })).output_text;
  },
  tools: async () => {
    const tools = Object.keys(functions).map((name) => ({
      type: "function",
      name,
      parameters: z.toJSONSchema(parameters),
      strict: true,
    }));
    const input = [{ role: "user", content: questions.tools }];
    for (;;) {
      const response = await client.responses.stream({ model, input, tools }).finalResponse();
      const calls = response.output.filter((item) => item.type === "function_call");
      if (!calls.length) return response.output_text;
      input.push(...response.output);
      for (const call of calls) {
        const output = functions[call.name](JSON.parse(call.arguments));
        input.push({ type: "function_call_output", call_id: call.call_id, output });
      }
    }
  },
  structured: async () => {
    const text = { format: zodTextFormat(City, "city") };
    return JSON.stringify((await client.responses.parse({ model, input: "Describe Tokyo.", text })).output_parsed);
  },
};

const user = (content) => [{ role: "user", content }];
const chat = {
  complete: async (question, signal) => {
    const completion = await client.chat.completions.create({ model, messages: user(question) }, { signal });
    return completion.choices[0].message.content;
  },
  async *stream(question, signal) {
    const stream = await client.chat.completions.create({ model, messages: user(question), stream: true }, { signal });
    for await (const chunk of stream) if (chunk.choices[0].delta.content) yield chunk.choices[0].delta.content;
  },
  "streamed, with the helper": () =>
    client.chat.completions.stream({ model, messages: user(questions.first) }).finalContent(),
  "fails mid-stream, with the helper": () =>
    client.chat.completions.stream({ model, messages: user(questions.fails) }).finalContent(),
  "two turns": async () => {
    const messages = user(questions.first);
    const first = await client.chat.completions.create({ model, messages });
    messages.push(first.choices[0].message, ...user(questions.second));
    return (await client.chat.completions.create({ model, messages })).choices[0].message.content;
  },
  tools: () => {
    const tools = Object.entries(functions).map(([name, run]) => zodFunction({ name, parameters, function: run }));
    return client.chat.completions.runTools({ model, messages: user(questions.tools), tools, stream: true }).finalContent();
  },
  structured: async () => {
    const response_format = zodResponseFormat(City, "city");
    const completion = await client.chat.completions.parse({ model, messages: user("Describe Tokyo."), response_format });
    return JSON.stringify(completion.choices[0].message.parsed);
  },
};

await run(api === "responses" ? responses : chat);
