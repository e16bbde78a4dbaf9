// Inline Markdown: emphasis, code, links, line breaks, and mathematics, which is shown as written.
//
// Markup of more than MAX_SPAN characters is shown as text. So whatever is further than that from the end of a growing text is
// final, and only the rest is parsed again. Parsing takes time linear in the length.

export const MAX_SPAN = 4000;
const MAX_ADDRESS = 2000;
const MAX_DEPTH = 10;
/** The browser lays out the text of a growing element anew: one with this many characters is full. */
const MAX_ELEMENT = 10_000;

const TOKEN = /\n|\\|`+|\$\$?|\*+|_+|~+|!?\[|\]|<|https?:\/\//g;
const EMPHASIS = { "*": "em", "**": "strong", _: "em", __: "strong", "~~": "del" };
/** As Pandoc has it: "$5 to $10" is no mathematics. */
const INLINE_MATH = /\$(?!\s)(?:[^$\\\n]|\\.)+(?<!\s)\$(?!\d)/y;
const BREAK = /<br *\/?>/iy;
const AUTOLINK = /<(https?:\/\/[^\s<>]+|mailto:[^\s<>]+)>/y;
const ADDRESS = /https?:\/\/[^\s<>"`|[\]]+/y;
const LINK_TARGET =
  /\([ \t]*(?:<([^<>\n]*)>|((?:[^\s()\\]|\\.|\((?:[^\s()\\]|\\.|\([^\s()\\]*\))*\))+))(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)/y;

/** Shows a growing text in an element. Nodes that do not change stay, with their focus and selection. */
export class InlineText {
  #element;
  #makeNext;
  #text = ""; // what is not final
  #before = ""; // the character before it
  #last = null; // the last node that is final
  #size = 0;

  /** `makeNext`, if there is one, returns the element to go on in when this one is full. */
  constructor(element, makeNext) {
    this.#element = element;
    this.#makeNext = makeNext;
  }

  add(text) {
    this.#text += text;
  }

  /** Removes up to MAX_SPAN characters at the end. Returns whether no text is left. */
  removeLast(length) {
    this.#text = this.#text.slice(0, -length);
    return !this.#text && !this.#last;
  }

  render() {
    while (this.#text.length > 2 * MAX_SPAN) {
      const { nodes, cut } = parse(this.#text.slice(0, 2 * MAX_SPAN), this.#before);
      update(this.#element, this.#last, nodes);
      this.#finish(cut);
    }
    update(this.#element, this.#last, parse(this.#text, this.#before).nodes);
  }

  #finish({ source, index, offset }) {
    let node = this.#last ? this.#last.nextSibling : this.#element.firstChild;
    for (; index > 0; index--) {
      this.#last = node;
      node = node.nextSibling;
    }
    if (offset) {
      if (offset < node.length) node.splitText(offset);
      this.#last = node;
    }
    this.#before = this.#text[source - 1];
    this.#text = this.#text.slice(source);
    this.#size += source;
    if (this.#makeNext && this.#size > MAX_ELEMENT) {
      const next = this.#makeNext();
      while (this.#last.nextSibling) next.append(this.#last.nextSibling);
      [this.#element, this.#last, this.#size] = [next, null, 0];
    }
  }
}

/** Shows a text in an element at once. */
export function showInline(element, text) {
  update(element, null, parse(text, "").nodes);
  return element;
}

/** Makes the child nodes after `last` what `nodes` says: strings, and `{ tag, attributes, children }`. */
function update(parent, last, nodes) {
  let child = last ? last.nextSibling : parent.firstChild;
  for (const node of nodes) {
    const isText = typeof node === "string";
    if (child?.nodeName !== (isText ? "#text" : node.tag.toUpperCase())) {
      const made = isText ? new Text(node) : document.createElement(node.tag);
      if (child) child.replaceWith(made);
      else parent.append(made);
      child = made;
    }
    if (isText) setText(child, node);
    else {
      for (const [name, value] of Object.entries(node.attributes)) {
        if (child.getAttribute(name) !== value) child.setAttribute(name, value);
      }
      update(child, null, node.children);
    }
    child = child.nextSibling;
  }
  while (child?.nextSibling) child.nextSibling.remove();
  child?.remove();
}

function setText(node, text) {
  const old = node.data;
  let same = 0;
  while (same < old.length && old[same] === text[same]) same++;
  if (same < old.length || same < text.length) node.replaceData(same, old.length - same, text.slice(same));
}

const element = (tag, children = [], attributes = {}) => ({ tag, attributes, children });
const math = (text) => element("span", [text], { class: "math" });

/**
 * Parses a text that follows the character `before`. Returns its `nodes`, and as `cut` where the final ones end: at `source` in
 * the text, `offset` characters into the node with that `index`.
 */
function parse(text, before) {
  const { tokens, closers } = tokenize(text, before);
  const final = text.length - MAX_SPAN;
  let at = 0;
  let next = 0; // the token here
  let cut;

  /** The nodes up to a place. From `run` to there, the text is the rest of a run of emphasis marks. */
  function parseTo(end, depth, inLink, run = end) {
    const nodes = [];
    const add = (node) => {
      if (inLink && node.tag === "a") node.children.forEach(add);
      else if (typeof node === "string" && typeof nodes.at(-1) === "string") nodes[nodes.length - 1] += node;
      else nodes.push(node);
    };
    const addText = (to) => {
      if (!depth && !cut && to >= final) cut = cutAt(to, nodes);
      if (to > at) add(text.slice(at, to));
      at = Math.max(at, to);
    };
    while (at < end && tokens[next]?.at < end) {
      const token = tokens[next];
      if (token.end <= at) {
        next++;
        continue;
      }
      addText(token.at);
      if (token.node) {
        add(token.node);
        at = token.end;
      } else if (token.sign) {
        const mark = token.sign.repeat(Math.min(token.end, end) - at > 1 ? 2 : 1);
        const close = depth < MAX_DEPTH && closingRun(mark, end, run);
        if (close) {
          at += mark.length;
          add(element(EMPHASIS[mark], parseTo(close.end - mark.length, depth + 1, inLink, close.at)));
          at = close.end;
        } else {
          addText(at + mark.length);
        }
      } else if (token.link?.end <= end && depth < MAX_DEPTH) {
        const { label, address, end: linkEnd } = token.link;
        at = token.end;
        const children = parseTo(label, depth + 1, true);
        add(link(address, children.length ? children : [address]));
        at = linkEnd;
      } else {
        addText(token.end);
      }
    }
    addText(end);
    return nodes;
  }

  /** The first place for a cut in the text from here to another place, which is plain. */
  function cutAt(to, nodes) {
    let source = Math.max(at, final);
    const space = text.lastIndexOf(" ", source - 1) + 1;
    if (space > at) source = space;
    else if (/[\udc00-\udfff]/.test(text[source])) source++; // the second half of a surrogate pair
    const plain = typeof nodes.at(-1) === "string" ? nodes.at(-1).length : 0;
    return { source, index: nodes.length - (plain && 1), offset: plain + source - at };
  }

  /** The run of emphasis marks that closes what `mark` opens here. */
  function closingRun(mark, end, run) {
    const start = at + mark.length;
    const opens = EMPHASIS[mark] && /\S/.test(text[start] ?? "") && !(mark[0] === "_" && isWord(text[at - 1] ?? before));
    if (!opens) return undefined;
    const runs = closers[mark];
    while (runs[runs.next]?.at <= start) runs.next++;
    let close = runs[runs.next];
    if (!(close?.end <= end)) {
      const isEnough = mark.length > 1 ? end - run > 1 : (end - run) % 2;
      close = run > start && text[run] === mark[0] && isEnough && { at: run, end };
    }
    return close && close.end - at <= MAX_SPAN && close;
  }

  const nodes = parseTo(text.length, 0, false);
  return { nodes, cut };
}

/**
 * Cuts a text into tokens, `{ at, end }` with a `node`, with the `sign` of a run of emphasis marks, or an opening bracket with its
 * `link`. Returns also the runs that can close each emphasis mark.
 */
function tokenize(text, before) {
  const tokens = [];
  const closers = {};
  for (const mark in EMPHASIS) closers[mark] = Object.assign([], { next: 0 });
  const brackets = [];
  const findCode = codeFinder(text);
  const find = { "(": finder(text, "\\)"), "[": finder(text, "\\]"), $: finder(text, "$$") };
  const mathToken = (at, kind) => {
    const end = find[kind](at + 2) + 2;
    return end - at <= MAX_SPAN && { end, node: math(text.slice(at, end)) };
  };

  const pattern = new RegExp(TOKEN);
  for (let match; (match = pattern.exec(text)); ) {
    const at = match.index;
    const [mark] = match;
    const following = text[at + mark.length] ?? "";
    let token;
    switch (mark[0]) {
      case "\n":
        token = { end: at + 1, node: element("br") };
        break;
      case "\\":
        token = "([".includes(following || " ") && mathToken(at, following);
        if (!token && following === "\n") token = { end: at + 2, node: element("br") };
        if (!token && /[!-/:-@[-`{-~]/.test(following)) token = { end: at + 2, node: following };
        break;
      case "`":
        token = findCode(at, mark.length) ?? { end: at + mark.length, node: mark };
        break;
      case "$":
        token = mark === "$" ? inlineMath(text, at) : mathToken(at, "$");
        break;
      case "<":
        BREAK.lastIndex = at;
        token = BREAK.test(text) ? { end: BREAK.lastIndex, node: element("br") } : autolink(text, at);
        break;
      case "h":
        token = !isWord(text[at - 1] ?? before) && bareAddress(text, at);
        break;
      case "!":
      case "[":
        token = { end: at + mark.length };
        brackets.push(token);
        break;
      case "]": {
        const opening = brackets.pop();
        const target = opening && following === "(" && linkTarget(text, at + 1);
        if (target && target.end - opening.at <= MAX_SPAN) {
          opening.link = { label: at, ...target };
          pattern.lastIndex = target.end;
        }
        break;
      }
      default:
        token = { end: at + mark.length, sign: mark[0] };
        if (/\S/.test(text[at - 1] ?? before) && !(mark[0] === "_" && isWord(following))) {
          if (mark.length % 2) closers[mark[0]]?.push(token);
          if (mark.length > 1) closers[mark[0].repeat(2)].push(token);
        }
    }
    if (token) {
      token.at = at;
      tokens.push(token);
      pattern.lastIndex = token.end;
    }
  }
  return { tokens, closers };
}

/** Finds a string from a place on. No place is before the last one. */
function finder(text, string) {
  let found = -1;
  return (from) => {
    if (found < from) found = text.indexOf(string, from);
    if (found < 0) found = Infinity;
    return found;
  };
}

/** Finds the code that a run of backticks opens. It ends at the next run of the same length. */
function codeFinder(text) {
  const runs = {};
  for (const { index, 0: ticks } of text.matchAll(/`+/g)) {
    runs[ticks.length] ??= Object.assign([], { next: 0 });
    runs[ticks.length].push(index);
  }
  return (at, length) => {
    const same = runs[length] ?? [];
    while (same[same.next] <= at) same.next++;
    const end = same[same.next] + length;
    if (!(end - at <= MAX_SPAN)) return undefined;
    const code = text.slice(at + length, end - length).replaceAll("\n", " ");
    const isPadded = code.startsWith(" ") && code.endsWith(" ") && code.trim();
    return { end, node: element("code", [isPadded ? code.slice(1, -1) : code]) };
  };
}

function inlineMath(text, at) {
  INLINE_MATH.lastIndex = at;
  const found = INLINE_MATH.exec(text.slice(0, at + MAX_SPAN));
  return found && { end: at + found[0].length, node: math(found[0]) };
}

function autolink(text, at) {
  AUTOLINK.lastIndex = at;
  const found = AUTOLINK.exec(text.slice(0, at + MAX_ADDRESS));
  return found && isSafe(found[1]) && { end: at + found[0].length, node: link(found[1], [found[1]]) };
}

function bareAddress(text, at) {
  ADDRESS.lastIndex = at;
  const found = ADDRESS.exec(text.slice(0, at + MAX_ADDRESS))?.[0];
  if (!found) return undefined;
  // What ends the sentence is not part of the address; a parenthesis is if it is opened inside.
  let unopened = found.split(")").length - found.split("(").length;
  let end = found.length;
  while (".,:;!?*_~'".includes(found[end - 1]) || (found[end - 1] === ")" && unopened-- > 0)) end--;
  const address = found.slice(0, end);
  return { end: at + end, node: isSafe(address) ? link(address, [address]) : address };
}

function linkTarget(text, at) {
  LINK_TARGET.lastIndex = at;
  const found = LINK_TARGET.exec(text.slice(0, at + MAX_ADDRESS));
  const address = found?.[1] ?? found?.[2];
  return address && isSafe(address) && { address, end: at + found[0].length };
}

function isSafe(address) {
  return URL.canParse(address) && ["http:", "https:", "mailto:"].includes(new URL(address).protocol);
}

function link(address, children) {
  return element("a", children, { href: address, target: "_blank", rel: "noopener noreferrer nofollow" });
}

function isWord(character) {
  return /[\p{L}\p{N}_]/u.test(character);
}
