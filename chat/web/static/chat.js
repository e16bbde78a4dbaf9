// The chat page: what was said, and what happens when somebody types.

import { showMarkdown } from "./markdown.js";
import { Problem, ask } from "./service.js";

const at = (id) => document.getElementById(id);
const [messages, welcome, question, status] = ["messages", "welcome", "question", "status"].map(at);
const NEAR_THE_END = 120;
const UNFINISHED = "The page was left before the answer was complete.";
const CUT_SHORT = {
  length: "The answer reached its length limit.",
  content_filter: "A content filter ended the answer.",
};

const conversationStore = store("chat.conversation");
const keyStore = store("chat.key");

/** `{ role, content, note }`: the note tells how an answer ended, if it did not end well. */
let conversation = restored();
/** What aborts the answer under way. */
let running = null;
/** What to do when the person has given a function key. */
let afterKey = null;
/** The element of each message. */
const elements = new WeakMap();

takeKeyFromAddress();
for (const message of conversation) show(message);
refresh();
scrollToEnd();

at("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const content = question.value.trim();
  if (!content || running) return;
  question.value = "";
  fitQuestion();
  add({ role: "user", content });
  answer();
});

question.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("composer").requestSubmit();
});
question.addEventListener("input", fitQuestion);

at("stop").addEventListener("click", stop);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running && !at("key-dialog").open) stop();
});

at("new-chat").addEventListener("click", () => {
  running?.abort();
  running = null;
  conversation = [];
  messages.replaceChildren();
  conversationStore.remove();
  refresh();
  say("New chat.");
  question.focus();
});

// The last event that a page on a phone is sure to see.
document.addEventListener("visibilitychange", () => document.hidden && save());
// Ended here, an answer is not taken for one whose connection broke.
window.addEventListener("pagehide", () => running?.abort(UNFINISHED));

async function answer() {
  const asked = conversation.filter(({ content }) => content).map(({ role, content }) => ({ role, content }));
  const reply = add({ role: "assistant", content: "", note: { text: UNFINISHED } });
  const abort = (running = new AbortController());
  refresh();
  save();
  scrollToEnd();
  say("Answering …");
  let note;
  let keyWanted = false;
  const draw = eachFrame(() => update(reply));
  try {
    for await (const { text, finish } of ask(asked, keyStore.get(), abort.signal)) {
      reply.content += text;
      if (Object.hasOwn(CUT_SHORT, finish)) note = { text: CUT_SHORT[finish] };
      if (text) draw();
    }
    if (!reply.content && !note) note = { text: "The answer is empty." };
  } catch (fault) {
    if (abort.signal.aborted) {
      note = { text: abort.signal.reason };
    } else {
      if (!(fault instanceof Problem)) console.error(fault);
      note = { text: fault instanceof Problem ? fault.message : "Something went wrong in this page.", failed: true };
      keyWanted = fault.keyWanted;
    }
  }
  if (running === abort) running = null;
  if (!conversation.includes(reply)) return; // a new chat has begun
  reply.note = note;
  update(reply);
  refresh();
  save();
  if (note?.failed) say("");
  else say(`${elementOf(reply).querySelector(".content").innerText} ${note?.text ?? ""}`);
  if (keyWanted) askForKey(note.text, tryAgain);
}

function stop() {
  running?.abort("Stopped.");
  question.focus();
}

function tryAgain() {
  if (running || conversation.at(-1)?.role !== "assistant") return;
  elementOf(conversation.pop()).remove();
  question.focus();
  answer();
}

// Messages on the page.

function elementOf(message) {
  return elements.get(message);
}

function add(message) {
  conversation.push(message);
  show(message);
  return message;
}

function show(message) {
  const element = document.createElement("article");
  element.className = message.role;
  const speaker = document.createElement("h2");
  speaker.className = "unseen";
  speaker.textContent = message.role === "user" ? "You" : "Answer";
  const content = document.createElement("div");
  content.className = "content";
  content.dir = "auto"; // some languages run from right to left
  element.append(speaker, content);
  elements.set(message, element);
  messages.append(element);
  update(message);
}

function update(message) {
  const follows = window.innerHeight + window.scrollY > document.documentElement.scrollHeight - NEAR_THE_END;
  const element = elementOf(message);
  const content = element.querySelector(".content");
  if (message.role === "user") content.textContent = message.content;
  else showMarkdown(content, message.content);
  if (follows) scrollToEnd();
}

/** Brings everything around the messages up to date with what is going on. */
function refresh() {
  welcome.hidden = conversation.length > 0;
  at("new-chat").hidden = conversation.length === 0;
  at("change-key").hidden = !keyStore.get();
  at("send").hidden = Boolean(running);
  at("stop").hidden = !running;
  const last = conversation.at(-1);
  for (const message of conversation) showNote(message, message === last);
  if (last && !running) scrollToNote(elementOf(last));
}

function showNote(message, isLast) {
  const element = elementOf(message);
  const isRunning = Boolean(running) && isLast && message.role === "assistant";
  element.classList.toggle("running", isRunning);
  element.querySelector(".note")?.remove();
  if (!message.note || isRunning) return;
  const note = document.createElement("div");
  note.className = message.note.failed ? "note failed" : "note";
  if (message.note.failed && isLast) note.role = "alert";
  const text = document.createElement("p");
  text.textContent = message.note.text;
  note.append(text);
  if (isLast) {
    const again = document.createElement("button");
    again.type = "button";
    again.className = "quiet";
    again.textContent = "Try again";
    again.addEventListener("click", tryAgain);
    note.append(again);
  }
  element.append(note);
}

function scrollToNote(element) {
  element.querySelector(".note")?.scrollIntoView({ block: "nearest" });
}

function scrollToEnd() {
  window.scrollTo(0, document.documentElement.scrollHeight);
}

function fitQuestion() {
  question.style.height = "auto";
  question.style.height = `${question.scrollHeight}px`;
}

/** Says something to a screen reader: the answer once, when it is there, and not word by word. */
function say(text) {
  status.textContent = text;
}

/** A function that does the work at most once a frame, however often it is called. */
function eachFrame(work) {
  let frame = 0;
  return () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      work();
    });
  };
}

// What this browser keeps.

function store(name) {
  // A browser that keeps nothing throws: the page works without.
  const quietly = (work) => {
    try {
      return work();
    } catch {
      return null;
    }
  };
  return {
    get: () => quietly(() => localStorage.getItem(name)),
    set: (value) => quietly(() => localStorage.setItem(name, value)),
    remove: () => quietly(() => localStorage.removeItem(name)),
  };
}

function save() {
  if (conversation.length) conversationStore.set(JSON.stringify(conversation));
}

function restored() {
  try {
    const kept = JSON.parse(conversationStore.get());
    return kept.filter(({ content }) => typeof content === "string");
  } catch {
    return [];
  }
}

// The function key.

function takeKeyFromAddress() {
  const address = new URL(location.href);
  const key = address.searchParams.get("code");
  if (!key) return;
  keyStore.set(key);
  address.searchParams.delete("code");
  history.replaceState(null, "", address);
}

function askForKey(reason, then) {
  afterKey = then;
  at("key-reason").textContent = reason;
  at("key").value = keyStore.get() ?? "";
  at("forget-key").hidden = !keyStore.get();
  at("key-dialog").showModal();
  at("key").select();
}

at("change-key").addEventListener("click", () => askForKey("It goes with every message from this browser.", null));
at("cancel-key").addEventListener("click", () => at("key-dialog").close());
at("forget-key").addEventListener("click", () => {
  keyStore.remove();
  at("key-dialog").close();
  refresh();
});
at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = at("key").value.trim();
  if (!key) return;
  keyStore.set(key);
  at("key-dialog").close();
  refresh();
  afterKey?.();
});
at("key-dialog").addEventListener("close", () => question.focus());
