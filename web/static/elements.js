// Elements that several modules make.

const MAX_CHILDREN = 100;

export function node(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function button(text, onclick) {
  return node("button", { type: "button", className: "quiet", onclick }, text);
}

/** A button that copies what `read` returns. */
export function copyButton(read) {
  const copy = button("Copy", async () => {
    await navigator.clipboard.writeText(read());
    copy.textContent = "Copied";
    setTimeout(() => (copy.textContent = "Copy"), 2000);
  });
  return copy;
}

/** Appends children to an element, after the first ones in groups: the browser goes through all of an element's children. */
export class Container {
  #element;
  #group;
  #count = 0;

  constructor(element) {
    this.#element = this.#group = element;
  }

  append(child) {
    this.#count++;
    if (this.#count % MAX_CHILDREN === 0) this.#element.append((this.#group = node("div", { className: "group" })));
    this.#group.append(child);
  }
}
