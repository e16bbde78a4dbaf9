// A message on the page.

import { button, copyButton, node } from "./elements.js";
import { Markdown } from "./markdown.js";

const REMEDIES = {
  edit: "Edit message",
  shorten: "Continue without the oldest messages",
  signIn: "Sign in",
  regenerate: "Try again",
  resume: "Continue",
};

/** The element of a message. `actions` has a function for each button: `edit`, `regenerate`, `resume`, `shorten`, `signIn`. */
export class MessageView {
  element;
  #message;
  #actions;
  #content = node("div", { className: "content" });
  #below = node("div", { className: "below" });
  #writers = {}; // of the content and the reasoning, while they grow
  #state; // what is shown below

  constructor(message, actions) {
    this.#message = message;
    this.#actions = actions;
    const isQuestion = message.role === "user";
    const heading = node("h2", { className: "unseen" }, isQuestion ? "You" : "Assistant");
    this.element = node("article", { className: message.role }, heading, this.#content, this.#below);
    if (isQuestion) {
      this.#content.dir = "auto";
      this.#content.textContent = message.content;
      this.#below.append(button("Edit", () => actions.edit(message)));
    } else {
      this.append(message.content, message.reasoning);
    }
  }

  /** The text that is shown, without the reasoning. */
  get text() {
    return this.#content.innerText;
  }

  append(content, reasoning) {
    if (reasoning) {
      this.#writers.reasoning ??= new Markdown(this.#addReasoning());
      this.#writers.reasoning.append(reasoning);
    }
    if (content) {
      this.#writers.content ??= new Markdown(this.#content);
      this.#writers.content.append(content);
    }
  }

  #addReasoning() {
    const reasoning = node("div", { className: "content" });
    this.#content.before(node("details", {}, node("summary", {}, "Thinking"), reasoning));
    return reasoning;
  }

  /** Shows what belongs to the message's place in the conversation. */
  update({ isLast, isRunning, isSent }) {
    const { role, note } = this.#message;
    if (!isRunning) Object.values(this.#writers).forEach((writer) => writer.end());
    this.element.classList.toggle("running", isRunning);
    this.element.classList.toggle("unsent", !isSent);
    const state = JSON.stringify([isLast, isRunning, note]);
    if (role === "user" || state === this.#state) return; // the buttons keep the focus
    this.#state = state;
    this.#below.replaceChildren();
    if (!isRunning) this.#showEnd(isLast);
  }

  #showEnd(isLast) {
    const { content, note, model, tokens, seconds } = this.#message;
    if (note) {
      const element = node("div", { className: note.failed ? "note failed" : "note" }, node("p", {}, note.text));
      if (note.failed && isLast) element.role = "alert";
      const action = note.action in REMEDIES ? note.action : "regenerate";
      if (isLast) element.append(button(REMEDIES[action], () => this.#actions[action]()));
      this.#below.append(element);
    }
    if (!content) return;
    const facts = [
      model,
      tokens && `${tokens.toLocaleString("en")} ${tokens === 1 ? "token" : "tokens"}`,
      seconds && `${seconds.toFixed(1)} s`,
    ];
    const actions = node("div", { className: "actions" });
    if (navigator.clipboard) actions.append(copyButton(() => content));
    if (isLast && (!note || note.action === "resume")) actions.append(button("Regenerate", this.#actions.regenerate));
    actions.append(node("span", {}, facts.filter(Boolean).join(" · ")));
    this.#below.append(actions);
  }
}
