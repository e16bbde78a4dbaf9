// The chat page: sends the conversation, and shows the response while it arrives.

import { openConversation, restorePrevious } from "./conversation.js";
import { Container, node } from "./elements.js";
import { followEnd, scrollToEnd, watchScrolling } from "./follow.js";
import { functionKey, takeKeyFromAddress } from "./key.js";
import { MessageView } from "./message.js";
import { ServiceError, requestCompletion } from "./service.js";
import { PREFIX, storedItem } from "./storage.js";

const UNFINISHED = "The page was closed before the response was complete.";
/** Sent after a response that ended at its limit: not every model server takes a response as the last message. */
const CONTINUE = { role: "user", content: "Continue exactly where your last message ends. Do not repeat any of it." };
const FINISH_NOTES = {
  length: "The response reached its length limit.",
  content_filter: "A content filter ended the response.",
};

const at = (id) => document.getElementById(id);
const question = at("question");
const draft = storedItem("sessionStorage", `${PREFIX}draft`);
const resuming = storedItem("sessionStorage", `${PREFIX}resuming`);
/** On a phone, Enter breaks the line, and a focused text field opens the keyboard. */
const isPhone = matchMedia("(hover: none) and (pointer: coarse)").matches;

const actions = { edit, regenerate, resume, shorten, signIn };
const views = new Map(); // by message
let articles = new Container(at("messages"));
let running = null; // aborts the response that is arriving
let editing = null; // the question that is edited, and the draft to restore afterwards: { question, draft }
let removed = null; // the conversation before New chat or an edit
let whenKeyChanged; // what the key dialog calls

watchScrolling(at("to-end"));
question.value ||= draft.get() ?? "";
question.enterKeyHint = isPhone ? "enter" : "send";
const keyInAddress = takeKeyFromAddress();
if (keyInAddress && !functionKey.get()) functionKey.set(keyInAddress);

const opening = openConversation();

at("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const focused = document.activeElement;
  await opening;
  const content = question.value.trim();
  if (!content || running) return;
  if (editing) send(content, focused, removeEdited());
  else {
    setQuestion("");
    send(content, focused);
  }
});
question.addEventListener("keydown", (event) => {
  // Safari reports the Enter that ends a composition with the key code 229.
  if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return;
  if (event.shiftKey || (isPhone && !event.ctrlKey && !event.metaKey)) return;
  event.preventDefault();
  at("composer").requestSubmit();
});
question.addEventListener("input", () => {
  draft.set(editing?.draft ?? question.value);
  fitQuestion();
});
fitQuestion();
at("send").disabled = false;

const conversation = await opening;
conversation.messages.forEach(show);
refresh();
if (!isPhone) question.focus({ preventScroll: true });
if (keyInAddress && functionKey.get() !== keyInAddress) confirmKey();
if (resuming.get()) {
  resuming.remove();
  repeat();
}

for (const example of at("examples").children) {
  example.addEventListener("click", () => send(example.textContent, example));
}
at("stop").addEventListener("click", () => running?.abort("Stopped."));
at("cancel-edit").addEventListener("click", endEdit);
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || at("key-dialog").open) return;
  if (running) running.abort("Stopped.");
  else if (editing) endEdit();
});

at("new-chat").addEventListener("click", () => {
  removed = replaceConversation({ messages: [], start: 0 });
  refresh();
  announce(`New chat. ${at("removed").textContent}`);
});
at("undo").addEventListener("click", () => {
  replaceConversation(removed);
  removed = null;
  refresh();
});
at("download").addEventListener("click", () => {
  const href = URL.createObjectURL(new Blob([conversation.toMarkdown()], { type: "text/markdown" }));
  node("a", { href, download: `chat-${new Date().toISOString().slice(0, 10)}.md` }).click();
  URL.revokeObjectURL(href);
});
at("change-key").addEventListener("click", () => openKeyDialog("It is sent with every message."));
at("cancel-key").addEventListener("click", () => at("key-dialog").close());
at("forget-key").addEventListener("click", () => changeKey(null));
at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = at("key").value.trim();
  if (key) changeKey(key);
});

// The last event that a page on a phone is sure to get.
document.addEventListener("visibilitychange", () => document.hidden && save());
// Otherwise the end of the page would look like a lost connection.
addEventListener("pagehide", () => running?.abort(UNFINISHED));

/** Sends a question. `before` is the conversation that Undo restores. */
function send(content, focused, before = null) {
  removed = before;
  add({ role: "user", content });
  complete(focused);
}

/** Requests the response to the last question, in place of a previous one. */
function complete(focused, previous) {
  receive({ role: "assistant", content: "", previous }, conversation.toSend(), "regenerate", focused);
}

/** Requests the rest of the last response. */
function resume() {
  if (running) return;
  const focused = document.activeElement;
  const toSend = [...conversation.toSend(), CONTINUE];
  receive(removeFrom(-1)[0], toSend, "resume", focused);
}

/** Requests a response, or more of it, and shows it while it arrives. `remedy` is the action that requests it again. */
async function receive(reply, toSend, remedy, focused) {
  const { tokens: tokensBefore = 0, seconds: secondsBefore = 0 } = reply;
  reply.note = { text: UNFINISHED, action: remedy };
  const view = add(reply);
  const abort = (running = new AbortController());
  const began = performance.now();
  const unshown = new Set();
  let ended;
  let note = null;
  let frame = 0;
  let arrived = { content: "", reasoning: "" };
  const draw = () => {
    frame = 0;
    view.append(arrived.content, arrived.reasoning);
    arrived = { content: "", reasoning: "" };
    followEnd();
  };
  refresh(focused);
  save();
  scrollToEnd();
  announce("Waiting for the response …");
  try {
    for await (const chunk of requestCompletion(toSend, functionKey.get(), abort.signal)) {
      const { reasoning, finishReason, model, tokens } = chunk;
      const content = reply.content ? chunk.content : chunk.content.trimStart();
      reply.content += content;
      if (reasoning) reply.reasoning = (reply.reasoning ?? "") + reasoning;
      if (model) reply.model = model;
      if (Number.isFinite(tokens)) reply.tokens = tokensBefore + tokens;
      if (Object.hasOwn(FINISH_NOTES, finishReason)) ended = finishReason;
      chunk.unshown?.forEach((kind) => unshown.add(kind));
      arrived.content += content;
      arrived.reasoning += reasoning;
      if (content || reasoning) frame ||= requestAnimationFrame(draw);
    }
    const notes = ended ? [FINISH_NOTES[ended]] : [];
    if (unshown.size) notes.push(`This page cannot show part of the response: ${[...unshown].join(", ")}.`);
    if (!reply.content && !notes.length) notes.push("The response is empty.");
    if (notes.length) note = { text: notes.join(" "), action: ended === "length" && reply.content ? "resume" : remedy };
  } catch (error) {
    const isExpected = error instanceof ServiceError;
    const action = error.action === "shorten" && !conversation.hasOlder ? "edit" : (error.action ?? remedy);
    const isPart = Boolean(reply.content);
    if (abort.signal.aborted) note = { text: abort.signal.reason, action };
    else note = { text: isExpected ? error.message : "An error occurred on this page.", failed: true, action, isPart };
    if (!abort.signal.aborted && !isExpected) console.error(error);
    abort.abort(); // nothing more is read
  }
  draw();
  reply.seconds = secondsBefore + (performance.now() - began) / 1000;
  reply.note = note;
  const isRestored = restorePrevious(reply);
  if (running === abort) running = null;
  if (conversation.last !== reply) return; // a new chat has begun
  if (isRestored) {
    view.element.remove();
    show(reply);
  }
  refresh();
  save();
  announce(note?.failed ? "" : [view.text, note?.text].join(" "));
  if (note?.action === "key") openKeyDialog(note.text, () => (functionKey.get() ? actions[remedy]() : refresh()));
}

/** Requests the response to the last question again. */
function regenerate() {
  if (running || !conversation.last) return;
  const focused = document.activeElement;
  const [previous] = conversation.last.role === "assistant" ? removeFrom(-1) : [];
  complete(focused, previous?.content ? previous : undefined);
}

/** Requests again what the last request was for. */
function repeat() {
  if (conversation.last?.note?.isPart) resume();
  else regenerate();
}

function shorten() {
  conversation.dropOldest();
  repeat();
}

/** Signs in, in another tab if this browser can't store the conversation. */
function signIn() {
  if (conversation.save()) {
    resuming.set("yes");
    location.reload();
  } else {
    open(location.pathname, "_blank", "noopener");
    const { note } = conversation.last;
    note.action = note.isPart ? "resume" : "regenerate";
    refresh();
  }
}

function edit(message = conversation.lastQuestion) {
  const draft = editing ? editing.draft : question.value;
  if (editing) endEdit();
  editing = { question: message, draft };
  setQuestion(message.content);
  views.get(message).element.classList.add("edited");
  at("editing").hidden = false;
  question.focus();
}

function endEdit() {
  const focused = document.activeElement;
  views.get(editing.question).element.classList.remove("edited");
  setQuestion(editing.draft);
  editing = null;
  at("editing").hidden = true;
  keepFocus(focused);
}

/** Removes the question that is edited and what follows it, and returns the conversation before. */
function removeEdited() {
  const before = { messages: [...conversation.messages], start: conversation.start };
  const index = conversation.messages.indexOf(editing.question);
  endEdit();
  removeFrom(index);
  if (index < conversation.start) conversation.start = 0;
  return before;
}

function setQuestion(text) {
  question.value = text;
  draft.set(editing?.draft ?? text);
  fitQuestion();
}

function fitQuestion() {
  at("send").ariaDisabled = !question.value.trim(); // and not `disabled`, so that it can have the focus
  question.style.height = "auto";
  question.style.height = `${question.scrollHeight}px`;
}

// Messages on the page.

function add(message) {
  conversation.messages.push(message);
  return show(message);
}

function show(message) {
  const view = new MessageView(message, actions);
  views.set(message, view);
  articles.append(view.element);
  return view;
}

/** Removes the messages from an index on, and returns them. */
function removeFrom(index) {
  const messages = conversation.messages.splice(index);
  for (const message of messages) {
    views.get(message).element.remove();
    views.delete(message);
  }
  return messages;
}

/** Replaces the messages of the conversation, and returns the ones before. */
function replaceConversation({ messages, start }) {
  running?.abort("Stopped.");
  running = null;
  if (editing) endEdit();
  const before = { messages: removeFrom(0), start: conversation.start };
  articles = new Container(at("messages"));
  Object.assign(conversation, { messages, start });
  messages.forEach(show);
  save();
  scrollToEnd();
  return before;
}

/** Brings the controls up to date. `focused` is what had the focus before. */
function refresh(focused = document.activeElement) {
  const isEmpty = !conversation.messages.length;
  at("welcome").hidden = !isEmpty;
  at("undo").hidden = at("removed").hidden = !removed;
  at("new-chat").hidden = isEmpty;
  at("download").hidden = isEmpty;
  at("change-key").hidden = !functionKey.get();
  at("send").hidden = Boolean(running);
  at("stop").hidden = !running;
  conversation.messages.forEach((message, index) => {
    const isNew = message === conversation.last || message === conversation.lastQuestion;
    views.get(message).update({
      isLast: isNew && (message === conversation.last || !running),
      isRunning: message === conversation.last && Boolean(running),
      isSent: isNew || conversation.isSent(index),
    });
  });
  const first = conversation.messages[conversation.start];
  if (conversation.start > 0 && first) views.get(first).element.before(at("dropped"));
  at("dropped").hidden = conversation.start === 0;
  keepFocus(focused);
  if (!isEmpty) followEnd();
}

/** Moves the focus to what takes its place, if what had it is gone. */
function keepFocus(focused) {
  if (focused === document.body || (focused.isConnected && focused.checkVisibility())) return;
  (isPhone ? [at("send"), at("stop")].find((button) => !button.hidden) : question).focus({ preventScroll: true });
}

function save() {
  at("unsaved").hidden = conversation.save();
}

/** For screen readers: the response once, when it is complete, and not while it grows. */
function announce(text) {
  at("status").textContent = text;
}

// The function key.

/** Lets no link replace the stored key without confirmation. */
function confirmKey() {
  const reason = "The link to this page has a different function key from the one stored here. Use it instead?";
  openKeyDialog(reason, refresh, keyInAddress);
}

/** Opens the dialog in which somebody enters, replaces or removes the key; `changed` is called afterwards. */
function openKeyDialog(reason, changed = refresh, key = functionKey.get()) {
  whenKeyChanged = changed;
  at("key-reason").textContent = reason;
  at("key").value = key ?? "";
  at("forget-key").hidden = !functionKey.get();
  at("key-dialog").showModal();
  at("key").select();
}

function changeKey(key) {
  if (key) functionKey.set(key);
  else functionKey.remove();
  at("key-dialog").close();
  whenKeyChanged();
}
