// Requests to the service, and the chunks of its responses.

const INTERRUPTED = "The connection was lost in the middle of the response.";
const MAX_HELD = 100;

/** An error, as a sentence to show. `action` is what helps, "shorten", "key" or "signIn", if it is not another request. */
export class ServiceError extends Error {
  constructor(message, action) {
    super(message);
    this.action = action;
  }
}

/**
 * Requests the response to a conversation, and yields `{ content, reasoning, unshown, finishReason, model, tokens }` for each
 * chunk, with empty texts and without the others if it has none. `unshown` names what is neither text nor reasoning. Throws a
 * `ServiceError`, or the signal's reason.
 */
export async function* requestCompletion(messages, key, signal) {
  // Proxies that buffer other responses stream this media type.
  const headers = { Accept: "text/event-stream", "Content-Type": "application/json" };
  if (key) headers["x-functions-key"] = key;
  const options = { method: "POST", headers, body: JSON.stringify({ messages }), redirect: "manual", signal };
  let response;
  try {
    // The page's own address: people open it, programs post to it.
    response = await fetch(location.pathname, options);
  } catch (error) {
    throw signal.aborted ? error : new ServiceError("Could not connect to the service.");
  }
  if (!response.ok) throw await responseError(response, key);
  const thinking = new ThinkTag();
  const isEvents = response.headers.get("Content-Type")?.startsWith("text/event-stream");
  // Chromium cancels a request (net::ERR_ABORTED) whose body is read to its end as a stream, but not that of a clone.
  const { body } = response.clone();
  for await (const data of (isEvents ? readEvents : readLines)(body, signal)) {
    const chunk = parse(data);
    if (chunk.error != null) throw chunkError(chunk.error);
    const choice = chunk.choices?.[0];
    const delta = readDelta(choice?.delta);
    const { content, reasoning } = thinking.split(delta.text);
    yield {
      content,
      reasoning: delta.reasoning || reasoning,
      unshown: delta.unshown,
      finishReason: string(choice?.finish_reason),
      model: string(chunk.model).slice(0, 100),
      tokens: chunk.usage?.completion_tokens,
    };
  }
  yield thinking.end();
}

/** Yields the data of server-sent events, which are of one line each. Throws a `ServiceError` if there is no `[DONE]`. */
export async function* readEvents(stream, signal) {
  let isDone = false;
  for await (const line of readLines(stream, signal)) {
    const data = line.startsWith("data:") && line.slice("data:".length).trim();
    if (data === "[DONE]") isDone = true;
    else if (data) yield data;
  }
  if (!isDone) throw new ServiceError(INTERRUPTED);
}

/** Yields the lines of a stream of bytes. Throws a `ServiceError` if the last one has no line feed. */
export async function* readLines(stream, signal) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let line = [];
  for (;;) {
    let read;
    try {
      read = await reader.read();
    } catch (error) {
      throw signal?.aborted ? error : new ServiceError(INTERRUPTED);
    }
    if (read.done) break;
    const [end, ...starts] = read.value.split("\n");
    line.push(end);
    for (const start of starts) {
      const complete = line.join("");
      line = [start];
      if (complete.trim()) yield complete;
    }
  }
  if (line.join("").trim()) throw new ServiceError(INTERRUPTED);
}

/** Separates the reasoning that a model writes between `<think>` and `</think>` at the start of its message. */
export class ThinkTag {
  #isIn = null; // whether the text is reasoning, if that is known
  #held = ""; // what may be part of a tag

  split(text) {
    text = this.#held + text;
    this.#held = "";
    if (this.#isIn === false) return { content: text, reasoning: "" };
    if (this.#isIn === null) {
      const start = text.trimStart();
      if (text.length < MAX_HELD && "<think>".startsWith(start)) {
        this.#held = text;
        return { content: "", reasoning: "" };
      }
      this.#isIn = start.startsWith("<think>");
      return this.split(this.#isIn ? start.slice("<think>".length) : text);
    }
    const [reasoning, ...content] = text.split("</think>");
    if (content.length) {
      this.#isIn = false;
      return { content: content.join("</think>"), reasoning };
    }
    this.#held = /<(\/t?h?i?n?k?)?$/.exec(text)?.[0] ?? "";
    return { content: "", reasoning: text.slice(0, text.length - this.#held.length) };
  }

  end() {
    const text = this.#held;
    return this.#isIn ? { content: "", reasoning: text } : { content: text, reasoning: "" };
  }
}

/** The text and the reasoning in a delta, whose content may be an array of parts, and the names of what else there is. */
function readDelta(delta) {
  let text = "";
  let reasoning = string(delta?.reasoning_content) || string(delta?.reasoning);
  const unshown = [];
  for (const part of [delta?.content ?? [], delta?.images ?? []].flat()) {
    const shown = [part, part?.text, part?.refusal].find((value) => typeof value === "string");
    if (shown !== undefined) text += shown;
    else if (part?.type === "thinking") reasoning += readDelta({ content: part.thinking }).text; // Mistral's
    else unshown.push(kindOf(part));
  }
  if (delta?.tool_calls?.length || delta?.function_call) unshown.push("tool calls");
  if (delta?.audio) unshown.push("audio");
  return { text: text || string(delta?.refusal), reasoning, unshown };
}

function kindOf(part) {
  const type = string(part?.type).slice(0, 50);
  if (type.includes("image")) return "images";
  if (type.includes("audio")) return "audio";
  return `content of ${type ? `the type “${type}”` : "an unknown type"}`;
}

function string(value) {
  return typeof value === "string" ? value : "";
}

function parse(line) {
  try {
    return Object(JSON.parse(line));
  } catch {
    throw new ServiceError("The service sent an invalid response.");
  }
}

async function responseError(response, key) {
  if (response.type === "opaqueredirect" || (response.status === 401 && (await pageNeedsSignIn()))) {
    return new ServiceError("Your session has expired.", "signIn");
  }
  if (response.status === 401) {
    return new ServiceError(key ? "The function key is not valid." : "The service requires a function key.", "key");
  }
  // The platform in front of the service sends other bodies.
  const error = (await response.json().catch(() => null))?.error;
  if (isTooLong(error, response.status)) return new ServiceError("The conversation is too long.", "shorten");
  const text = sentence(string(error?.message) || `The service responded with status ${response.status}.`);
  return new ServiceError(text + waitHint(response.headers.get("Retry-After")));
}

function chunkError(error) {
  if (isTooLong(error)) return new ServiceError("The conversation is too long.", "shorten");
  return new ServiceError(sentence(string(error.message ?? error) || "The response failed."));
}

function isTooLong(error, status) {
  return (
    status === 413 ||
    (status === 400 && error?.param === "messages") ||
    error?.code === "context_length_exceeded" ||
    error?.type === "exceed_context_size_error" ||
    /context (?:length|size|window)/i.test(string(error?.message))
  );
}

/** Whether the platform requires a sign-in for this page, which needs no function key. */
async function pageNeedsSignIn() {
  const page = await fetch(location.pathname, { redirect: "manual", cache: "no-store" }).catch(() => null);
  return page?.type === "opaqueredirect" || page?.status === 401;
}

function waitHint(retryAfter) {
  const seconds = Math.ceil(Number(retryAfter));
  if (!(seconds > 0)) return "";
  const [length, unit] = [[3600, "hour"], [60, "minute"]].find(([length]) => seconds >= 2 * length) ?? [1, "second"];
  return ` Try again ${new Intl.RelativeTimeFormat("en").format(Math.ceil(seconds / length), unit)}.`;
}

function sentence(text) {
  return /[.!?…]$/.test(text.trim()) ? text.trim() : `${text.trim()}.`;
}
