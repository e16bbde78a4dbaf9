// OpenAI's Agents SDK for JavaScript.
import {
  Agent,
  MemorySession,
  OpenAIChatCompletionsModel,
  run as runAgent,
  setDefaultOpenAIClient,
  setTracingDisabled,
  tool,
} from "@openai/agents";
import OpenAI from "openai";
import { z } from "zod";

import { api, apiKey, baseURL, localTime, model, questions, run, temperature } from "./scenarios.mjs";

const client = new OpenAI({ baseURL, apiKey });
setDefaultOpenAIClient(client);
setTracingDisabled(true);

const City = z.object({ name: z.string(), population: z.number() });
const functions = { temperature, local_time: localTime };
const parameters = z.object({ city: z.string() });
const tools = Object.entries(functions).map(([name, execute]) => tool({ name, description: name, parameters, execute }));
const options = {
  name: "Guide",
  instructions: "Be brief.",
  model: api === "responses" ? model : new OpenAIChatCompletionsModel(client, model),
};
const agent = new Agent(options);
const agentWithTools = new Agent({ ...options, tools });

await run({
  complete: async (question, signal) => (await runAgent(agent, question, { signal })).finalOutput,
  async *stream(question, signal) {
    const result = await runAgent(agent, question, { stream: true, signal });
    for await (const event of result) {
      if (event.type === "raw_model_stream_event" && event.data.type === "output_text_delta") yield event.data.delta;
    }
    await result.completed;
  },
  "two turns": async () => {
    const session = new MemorySession();
    await runAgent(agent, questions.first, { session });
    return (await runAgent(agent, questions.second, { session })).finalOutput;
  },
  tools: async () => (await runAgent(agentWithTools, questions.tools)).finalOutput,
  "tools, streamed": async () => {
    const result = await runAgent(agentWithTools, questions.tools, { stream: true });
    await result.completed;
    return result.finalOutput;
  },
  structured: async () =>
    JSON.stringify((await runAgent(new Agent({ ...options, outputType: City }), "Describe Tokyo.")).finalOutput),
});
