// Markdown as models write it, made into DOM nodes. Text stays text: no markup in it is ever parsed, so nothing that a model
// writes can become script. Images become links, because loading one would tell its server what the model chose to say.

const DEEPEST = 10;
const LONGEST_LABEL = 1000;
const LONGEST_ADDRESS = 2000;

const FENCE = /^ {0,3}(`{3,}|~{3,})[ \t]*([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*)$/;
const RULE = /^ {0,3}([-*_])([ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^([ \t]*)([-*+]|\d{1,9}[.)])([ \t]+|$)(.*)$/;
const TABLE_RULE = /^\|?[ \t]*:?-+:?([ \t]*\|[ \t]*:?-+:?)*[ \t]*\|?$/;

const shown = new WeakMap();

/** Shows Markdown in an element. Called again with more of the same text, it touches only the blocks that have changed. */
export function showMarkdown(element, text) {
  const before = shown.get(element) ?? [];
  const now = blocks(text.split(/\r\n?|\n/));
  const sources = now.map(({ kind, lines }) => `${kind}\n${lines.join("\n")}`);
  let same = 0;
  while (same < before.length && before[same] === sources[same]) same++;
  while (element.childNodes.length > same) element.lastChild.remove();
  element.append(...now.slice(same).map((block) => built(block, 0)));
  shown.set(element, sources);
}

/** Cuts lines into blocks: `{ kind, lines }`. */
function blocks(lines) {
  const found = [];
  let at = 0;
  const take = (kind, until) => found.push({ kind, lines: lines.slice(at, (at = until)) });
  while (at < lines.length) {
    const line = lines[at];
    const fence = FENCE.exec(line);
    if (!line.trim()) at++;
    else if (fence) take("code", endOfFence(lines, at, fence[1]));
    else if (HEADING.test(line)) take("heading", at + 1);
    else if (RULE.test(line)) take("rule", at + 1);
    else if (QUOTE.test(line)) take("quote", endWhere(lines, at, (next) => !QUOTE.test(next)));
    else if (ITEM.test(line)) take("list", endOfList(lines, at));
    else if (isTable(lines, at)) take("table", endWhere(lines, at + 1, (next) => !next.includes("|")));
    else take("paragraph", endWhere(lines, at, (next, i) => startsBlock(next) || isTable(lines, i)));
  }
  return found;
}

/** The first index after `at` where a line ends the block. */
function endWhere(lines, at, ends) {
  do at++;
  while (at < lines.length && !ends(lines[at], at));
  return at;
}

function startsBlock(line) {
  // A number starts a list inside a paragraph only where it is 1, or a year at a line's start would.
  const item = ITEM.exec(line);
  return (
    !line.trim() ||
    [FENCE, HEADING, RULE, QUOTE].some((start) => start.test(line)) ||
    Boolean(item?.[4] && (isBullet(item) || /^1[.)]$/.test(item[2])))
  );
}

function endOfFence(lines, at, fence) {
  const closes = (line) => line.trim().length >= fence.length && [...line.trim()].every((sign) => sign === fence[0]);
  const end = endWhere(lines, at, closes);
  return Math.min(end + 1, lines.length);
}

function endOfList(lines, at) {
  const first = ITEM.exec(lines[at]);
  const indent = width(first[1]);
  return endWhere(lines, at, (line, i) => {
    const item = ITEM.exec(line);
    if (item && width(item[1]) <= indent + 1) return isBullet(item) !== isBullet(first) || RULE.test(line);
    if (!line.trim()) {
      const next = lines.slice(i + 1).find((following) => following.trim());
      return !next || (width(next) <= indent && !ITEM.test(next));
    }
    return width(line) <= indent && (!lines[i - 1].trim() || startsBlock(line));
  });
}

function isBullet(item) {
  return item[2].length === 1;
}

function isTable(lines, at) {
  return lines[at].includes("|") && at + 1 < lines.length && TABLE_RULE.test(lines[at + 1].trim());
}

/** How far a line is indented; a tab counts as four. */
function width(line) {
  return /^[ \t]*/.exec(line)[0].replaceAll("\t", "    ").length;
}

function built({ kind, lines }, depth) {
  switch (kind) {
    case "code":
      return code(lines);
    case "heading": {
      const [, signs, text] = HEADING.exec(lines[0]);
      // The page has the first two levels for itself.
      return spans(node(`h${Math.min(signs.length + 2, 6)}`), text.trimEnd().replace(/[ \t]#+$/, ""));
    }
    case "rule":
      return node("hr");
    case "quote":
      return nested(node("blockquote"), lines.map((line) => line.replace(QUOTE, "")), depth);
    case "list":
      return list(lines, depth);
    case "table":
      return table(lines);
    default:
      return spans(node("p"), lines.map((line) => line.trimStart()).join("\n"));
  }
}

function nested(parent, lines, depth) {
  if (depth >= DEEPEST) return spans(parent, lines.join("\n"));
  parent.append(...blocks(lines).map((block) => built(block, depth + 1)));
  return parent;
}

function code(lines) {
  const [, fence, language] = FENCE.exec(lines[0]);
  const closed = lines.length > 1 && lines.at(-1).trim().startsWith(fence) && !lines.at(-1).trim().replaceAll(fence[0], "");
  const text = lines.slice(1, closed ? -1 : undefined).join("\n");
  const name = language.trim().split(/\s/)[0];
  const bar = node("div", { className: "bar" }, node("span", {}, name));
  if (navigator.clipboard) {
    const copy = node("button", { type: "button", className: "quiet" }, "Copy");
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
      setTimeout(() => (copy.textContent = "Copy"), 2000);
    });
    bar.append(copy);
  }
  // What scrolls must be within a keyboard's reach.
  const label = name ? `Code, ${name}` : "Code";
  const pre = node("pre", { tabIndex: 0, role: "group", ariaLabel: label }, node("code", {}, text));
  return node("div", { className: "code" }, bar, pre);
}

function list(lines, depth) {
  const first = ITEM.exec(lines[0]);
  const indent = width(first[1]);
  const items = [];
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item && width(item[1]) <= indent + 1) {
      items.push({ inner: width(item[1]) + item[2].length + 1, lines: [item[4]] });
    } else {
      const { inner, lines: own } = items.at(-1);
      const plain = line.replaceAll("\t", "    ");
      own.push(plain.slice(Math.min(width(plain), inner)));
    }
  }
  const element = isBullet(first) ? node("ul") : node("ol", { start: parseInt(first[2], 10) });
  for (const { lines: own } of items) element.append(listItem(own, depth));
  return element;
}

function listItem(lines, depth) {
  const item = nested(node("li"), lines, depth);
  // An item of one paragraph reads better without the paragraph's margins.
  const [first] = item.children;
  if (first?.tagName === "P" && !lines.includes("")) first.replaceWith(...first.childNodes);
  return item;
}

function table(lines) {
  const alignments = cells(lines[1]).map((cell) => {
    if (cell.endsWith(":")) return cell.startsWith(":") ? "center" : "right";
    return "";
  });
  const row = (line, tag) => {
    const texts = cells(line);
    return node("tr", {}, ...alignments.map((align, i) => spans(node(tag, { className: align }), texts[i] ?? "")));
  };
  return node(
    "div",
    { className: "table", tabIndex: 0, role: "group", ariaLabel: "Table" },
    node(
      "table",
      {},
      node("thead", {}, row(lines[0], "th")),
      node("tbody", {}, ...lines.slice(2).map((line) => row(line, "td"))),
    ),
  );
}

function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

/** Appends text to an element, with what Markdown marks inside a line. Takes time in proportion to the text. */
function spans(parent, text, depth = 0) {
  const hopeless = new Set(); // marks that nothing closes any more
  let plain = "";
  let at = 0;
  while (at < text.length) {
    const span = depth < DEEPEST && spanAt(text, at, hopeless, depth);
    if (span) {
      parent.append(plain, span.content);
      plain = "";
      at = span.end;
    } else {
      plain += text[at++];
    }
  }
  parent.append(plain);
  return parent;
}

/** What begins at a place in a text: `{ content, end }`, or nothing. */
function spanAt(text, at, hopeless, depth) {
  switch (text[at]) {
    case "\n":
      return { content: node("br"), end: at + 1 };
    case "\\":
      if (text[at + 1] === "\n") return { content: node("br"), end: at + 2 };
      return /[!-/:-@[-`{-~]/.test(text[at + 1] ?? "") && { content: text[at + 1], end: at + 2 };
    case "`":
      return codeSpan(text, at, hopeless);
    case "*":
    case "_":
    case "~":
      return emphasis(text, at, hopeless, depth);
    case "!":
      return text[at + 1] === "[" && link(text, at + 1, depth);
    case "[":
      return link(text, at, depth);
    case "<":
    case "h":
      return address(text, at);
  }
}

function codeSpan(text, at, hopeless) {
  const ticks = /`+/y;
  ticks.lastIndex = at;
  const fence = ticks.exec(text)[0];
  const whole = { content: fence, end: at + fence.length };
  if (hopeless.has(fence)) return whole;
  for (let end = whole.end; (end = text.indexOf(fence, end)) !== -1; ) {
    ticks.lastIndex = end;
    const run = ticks.exec(text)[0];
    if (run === fence) {
      const inner = text.slice(whole.end, end).replaceAll("\n", " ");
      const padded = inner.startsWith(" ") && inner.endsWith(" ") && inner.trim();
      return { content: node("code", {}, padded ? inner.slice(1, -1) : inner), end: end + run.length };
    }
    end += run.length;
  }
  hopeless.add(fence);
  return whole;
}

const EMPHASIS = { "**": "strong", __: "strong", "~~": "del", "*": "em", _: "em" };

function emphasis(text, at, hopeless, depth) {
  const sign = text[at];
  const mark = text[at + 1] === sign ? sign + sign : sign;
  const start = at + mark.length;
  const opens = EMPHASIS[mark] && /\S/.test(text[start] ?? "") && !(sign === "_" && isWord(text[at - 1]));
  if (!opens || hopeless.has(mark)) return { content: mark, end: start };
  for (let end = start + 1; (end = text.indexOf(mark, end)) !== -1; ) {
    let run = end;
    while (text[run] === sign) run++;
    const fits = mark.length === 2 || (run - end) % 2 === 1;
    // In `**a *b***` the outer mark is the last of the run.
    const close = run - mark.length;
    if (fits && /\S/.test(text[end - 1]) && text[end - 1] !== "\\" && !(sign === "_" && isWord(text[run]))) {
      return { content: spans(node(EMPHASIS[mark]), text.slice(start, close), depth + 1), end: run };
    }
    end = run;
  }
  hopeless.add(mark);
  return { content: mark, end: start };
}

function isWord(sign) {
  return sign !== undefined && /[\p{L}\p{N}_]/u.test(sign);
}

function link(text, at, depth) {
  const label = balanced(text, at, "[", "]", LONGEST_LABEL);
  if (label === undefined || text[label + 1] !== "(") return undefined;
  const end = balanced(text, label + 1, "(", ")", LONGEST_ADDRESS);
  if (end === undefined) return undefined;
  const target = text.slice(label + 2, end).trim().replace(/\s+(".*"|'.*')$/s, "").replace(/^<(.*)>$/, "$1");
  const anchor = anchorTo(target);
  if (!anchor) return undefined;
  spans(anchor, text.slice(at + 1, label) || target, depth + 1);
  for (const inner of anchor.querySelectorAll("a")) inner.replaceWith(...inner.childNodes);
  return { content: anchor, end: end + 1 };
}

/** Where the bracket that opens at a place is closed. */
function balanced(text, at, open, close, longest) {
  let depth = 0;
  for (let i = at; i < Math.min(text.length, at + longest); i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === open) depth++;
    else if (text[i] === close && --depth === 0) return i;
  }
  return undefined;
}

function address(text, at) {
  if (isWord(text[at - 1])) return undefined;
  const bare = text[at] === "<" ? /<(https?:\/\/[^\s<>]+|mailto:[^\s<>]+)>/y : /https?:\/\/[^\s<>"`|]+/y;
  bare.lastIndex = at;
  const [whole, inner] = bare.exec(text.slice(0, at + LONGEST_ADDRESS)) ?? [];
  if (!whole) return undefined;
  let target = inner ?? whole;
  if (!inner) {
    // What ends the sentence around an address is no part of it; a bracket is where it was opened inside.
    target = target.replace(/[.,:;!?*_~'"\]]+$/, "");
    if (target.endsWith(")") && !target.includes("(")) target = target.replace(/[).,:;!?*_~'"\]]+$/, "");
  }
  const anchor = anchorTo(target);
  if (!anchor) return undefined;
  anchor.append(target);
  return { content: anchor, end: at + (inner ? whole.length : target.length) };
}

/** A link, if the address is one that can do no harm. */
function anchorTo(target) {
  if (!URL.canParse(target) || !["http:", "https:", "mailto:"].includes(new URL(target).protocol)) return undefined;
  return node("a", { href: target, target: "_blank", rel: "noopener noreferrer nofollow" });
}

function node(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
