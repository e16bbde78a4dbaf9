// What each JavaScript client does, and the report of it: the counterpart of scenarios.py.

export const [baseURL, apiKey, api, questions] = [...process.argv.slice(2, 5), JSON.parse(process.argv[5])];
export const model = questions.model;

export const temperature = ({ city }) => `21 degrees in ${city}`;
export const localTime = ({ city }) => `10:30 in ${city}`;

const report = (scenario, outcome) => console.log(JSON.stringify({ scenario, ...outcome }));

const read = async (stream) => {
  let text = "";
  for await (const piece of stream) text += piece;
  return text;
};

// Gives up after a second, and returns the time in seconds.
async function cancelledBeforeTheResponse({ complete }) {
  const cancel = new AbortController();
  let at;
  setTimeout(() => {
    at = Date.now() / 1000;
    cancel.abort();
  }, 1000);
  await complete(questions.stalls, cancel.signal).catch(() => {});
  if (!at) throw new Error("It has ended before it was cancelled.");
  return at;
}

// Cancels a stream at its first text, and returns the time in seconds.
async function cancelledMidStream({ stream }) {
  const cancel = new AbortController();
  let at;
  try {
    for await (const _ of stream(questions.streams, cancel.signal)) {
      at ??= Date.now() / 1000;
      cancel.abort();
    }
  } catch (error) {
    if (!at) throw error;
  }
  return at;
}

// `complete` and `stream` ask one question; each of the other scenarios returns what the user would see.
export async function run({ complete, stream, ...scenarios }) {
  const all = {
    complete: () => complete(questions.first),
    streamed: () => read(stream(questions.first)),
    ...scenarios,
    "cancelled before the response": () => cancelledBeforeTheResponse({ complete }),
    "cancelled mid-stream": () => cancelledMidStream({ stream }),
    rejected: () => complete(questions.rejected),
    "rejected, streamed": () => read(stream(questions.rejected)),
    "fails mid-stream": () => read(stream(questions.fails)),
    "breaks off": () => read(stream(questions.breaks_off)),
  };
  for (const [name, scenario] of Object.entries(all)) {
    try {
      report(name, { result: await scenario() });
    } catch (error) {
      report(name, { error: `${error?.name}: ${error?.message}` });
    }
  }
}
