// A conversation: its messages, which of them are sent, and where this browser stores them.

import { PREFIX, attempt, storedItem } from "./storage.js";

const CONVERSATION = `${PREFIX}conversation.`;
const ownName = storedItem("sessionStorage", `${PREFIX}conversation`);
const earlier = storedItem("localStorage", "chat.conversation"); // what earlier versions of this page stored

/**
 * A message has a `role` and `content`, a response also `reasoning`, `model`, `tokens`, `seconds`, a `note` if it did not end
 * normally, `{ text, failed, action, isPart }`, and while it arrives the `previous` response, which it replaces. With `isPart`
 * the content is the first part of what was requested.
 */
export class Conversation {
  messages = [];
  start = 0; // messages before are no longer sent
  #item;

  constructor(name) {
    this.#item = storedItem("localStorage", name);
    const stored = attempt(() => JSON.parse(this.#item.get()));
    if (!Array.isArray(stored?.messages)) return;
    this.messages = stored.messages.filter((message) => typeof message?.content === "string");
    this.start = stored.start ?? 0;
    this.messages.forEach(restorePrevious);
  }

  get last() {
    return this.messages.at(-1);
  }

  get lastQuestion() {
    return this.messages.findLast(({ role }) => role === "user");
  }

  /** Whether a message is sent: questions without a response are not, except for the last. */
  isSent(index) {
    const [before, message, after] = [index - 1, index, index + 1].map((i) => this.messages[i]);
    if (index < this.start) return false;
    if (message.role === "user") return !after || (after.role === "assistant" && after.content !== "");
    return before?.role === "user" && message.content !== "";
  }

  toSend() {
    const sent = this.messages.filter((_, index) => this.isSent(index));
    // A length limit can cut an emoji, and the service rejects one half of a surrogate pair.
    return sent.map(({ role, content }) => ({ role, content: content.toWellFormed() }));
  }

  /** Whether anything is sent before the last question. */
  get hasOlder() {
    const end = this.messages.lastIndexOf(this.lastQuestion);
    return this.messages.some((_, index) => index < end && this.isSent(index));
  }

  /** Stops sending the older half of what is sent before the last question. */
  dropOldest() {
    const end = this.messages.lastIndexOf(this.lastQuestion);
    const sizes = this.messages.map(({ content }, i) => (i < end && this.isSent(i) ? content.length : 0));
    const half = sizes.reduce((sum, size) => sum + size, 0) / 2;
    for (let dropped = 0; dropped < half || this.messages[this.start].role !== "user"; this.start++) {
      dropped += sizes[this.start];
    }
  }

  /** Stores the conversation. Returns whether that worked. */
  save() {
    const { messages, start } = this;
    if (messages.length) return this.#item.set(JSON.stringify({ saved: Date.now(), start, messages }));
    this.#item.remove();
    return true;
  }

  toMarkdown() {
    const texts = this.messages
      .filter(({ content }) => content)
      .map(({ role, content }) => `## ${role === "user" ? "You" : "Assistant"}\n\n${content.trim()}\n`);
    return texts.join("\n");
  }
}

/** Puts the previous response back if a message has no content. Returns whether it did. */
export function restorePrevious(message) {
  const { previous, note } = message;
  delete message.previous;
  if (!previous || message.content) return false;
  Object.assign(message, previous, { note });
  return true;
}

/** Opens this tab's conversation, or the last one that no tab has open, or a new one: a lock keeps other tabs from it. */
export async function openConversation() {
  earlier.remove();
  const own = ownName.get();
  // A reload releases the lock soon; another tab, which this one may be a copy of, does not.
  if (own && (await lock(own, { signal: AbortSignal.timeout(500) }))) return new Conversation(own);
  const names = attempt(() => Object.keys(localStorage)) ?? [];
  const stored = names.filter((name) => name.startsWith(CONVERSATION)).sort((a, b) => savedAt(b) - savedAt(a));
  for (const name of [...stored, CONVERSATION + Math.random()]) {
    if (!(await lock(name, { ifAvailable: true }))) continue;
    ownName.set(name);
    return new Conversation(name);
  }
}

function savedAt(name) {
  return attempt(() => JSON.parse(localStorage.getItem(name)).saved) ?? 0;
}

/** Takes a lock until the page is closed. Returns whether that worked. */
function lock(name, options) {
  return new Promise((resolve) => {
    if (!navigator.locks) resolve(true); // a page over plain HTTP
    navigator.locks
      ?.request(name, options, (held) => {
        resolve(Boolean(held));
        return held && new Promise(() => {});
      })
      .catch(({ name }) => resolve(name !== "TimeoutError"));
  });
}
