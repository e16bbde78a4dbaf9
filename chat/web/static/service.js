// One question to the service, and its answer as it arrives.

/** A fault, told in a sentence to the person. `keyWanted` where the service asks for a function key. */
export class Problem extends Error {
  constructor(message, keyWanted = false) {
    super(message);
    this.keyWanted = keyWanted;
  }
}

/**
 * Asks for the next message of a conversation, and yields `{ text, finish }` for each chunk of the answer: `finish` is
 * OpenAI's `finish_reason`, in the last one. Throws a `Problem`, or the signal's reason when that aborts.
 */
export async function* ask(messages, key, signal) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers["x-functions-key"] = key;
  let response;
  try {
    // The page's own address: people open it, programs post to it.
    response = await fetch(location.pathname, { method: "POST", headers, body: JSON.stringify({ messages }), signal });
  } catch (fault) {
    throw signal.aborted ? fault : unreachable();
  }
  if (!response.ok) throw await refusal(response, key);
  for await (const line of lines(response.body, signal)) {
    const chunk = parsed(line);
    if (chunk.error) throw new Problem(sentence(chunk.error.message));
    const choice = chunk.choices?.[0];
    yield { text: choice?.delta?.content || choice?.delta?.refusal || "", finish: choice?.finish_reason };
  }
}

/** The lines of a stream of bytes, however it is cut. A last line that nothing ends is a broken one: a `Problem`. */
export async function* lines(stream, signal) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let read;
    try {
      read = await reader.read();
    } catch (fault) {
      throw signal?.aborted ? fault : new Problem("The connection broke in the middle of the answer.");
    }
    if (read.done) break;
    const complete = (rest + read.value).split("\n");
    rest = complete.pop();
    yield* complete.filter((line) => line.trim());
  }
  if (rest.trim()) throw new Problem("The connection broke in the middle of the answer.");
}

function parsed(line) {
  try {
    return Object(JSON.parse(line));
  } catch {
    throw new Problem("The service sent something that makes no sense.");
  }
}

function unreachable() {
  return new Problem(
    navigator.onLine ? "The service can't be reached." : "You are offline: the service can't be reached.",
  );
}

async function refusal(response, key) {
  if (response.status === 401) {
    return new Problem(key ? "The service refused the function key." : "The service wants a function key.", true);
  }
  const wait = Number(response.headers.get("Retry-After"));
  const hint = wait ? ` It asks to wait for ${wait === 1 ? "a second" : `${wait} seconds`}.` : "";
  let message;
  try {
    message = (await response.json()).error.message;
  } catch {
    // Not the service's own words: the platform's, in front of it.
    message = `The service answered with status ${response.status}.`;
  }
  return new Problem(sentence(message) + hint);
}

function sentence(message) {
  const text = String(message || "Something went wrong").trim();
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}
