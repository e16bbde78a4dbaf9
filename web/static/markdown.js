// Markdown as models write it, made into elements while it arrives. None of it is ever parsed as HTML, so nothing that a model
// writes can become script. Images become links: loading one would tell its server what the model wrote.
//
// Text is only appended: the start of a line decides which block it belongs to, and the rest is appended to that block. So the
// work for more text does not grow with the text before it.

import { Container, copyButton, node } from "./elements.js";
import { InlineText, MAX_SPAN, showInline } from "./inline.js";

const MAX_DEPTH = 10;
const MAX_START = 1000;
// The browser lays out all of a list, a table or a text that grows.
const MAX_ITEMS = 100;
const MAX_CELLS = 2000;
const MAX_CODE = 10_000;

const QUOTE = /^ {0,3}> ?/;
const ITEM = /^([ \t]*)([-*+]|\d{1,9}[.)])(?:[ \t]+|$)/;
const TASK = /^\[([ xX])\](?:[ \t]+|$)/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*)$/;
const FENCE = /^ {0,3}(?:(`{3,})([^`]*)|(~{3,})(?!~)(.*))$/;
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]/;
const TABLE_RULE = /^\|?[ \t]*:?-+:?(?:[ \t]*\|[ \t]*:?-+:?)*[ \t]*\|?$/;
/** The start of a line that may yet be another kind of block, or whose direction is to be known. */
const UNDECIDED = /^(?:>|[-+*_#~`|: \t]*$|(?:[-+*]|\d{1,9}[.)])[ \t]|\d{1,9}[.)]?$)/;
/** The start of a list item that may yet be a task. */
const PERHAPS_TASK = /^[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?)+\[(?:[ xX]\]?)?$/;
const UNDECIDED_IN_CODE = /^[>~` \t]*$/;
/** A heading or a fence, which is read when its line is complete. */
const WHOLE_LINE = /^[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*(?:#{1,6}[ \t]|`{3}|~{3})/;
const LETTER = /\p{L}/u;

/** Shows a growing text in an element. */
export class Markdown {
  #root;
  #containers = []; // the open quotes and list items
  #block = null; // the open paragraph, code or table
  #start = ""; // of the last line, while it is undecided
  #inLine = false; // whether it is decided
  #levels = []; // of the headings above

  constructor(element) {
    this.#root = new Container(element);
  }

  append(text) {
    const lines = text.replaceAll("\r", "").split("\n");
    const last = lines.pop();
    for (const line of lines) {
      this.#appendToLine(line, true);
      this.#inLine = false;
      if (this.#block?.endLine()) this.#close();
    }
    this.#appendToLine(last, false);
    this.#block?.render();
  }

  end() {
    if (this.#start || this.#inLine) this.append("\n");
    this.#close();
  }

  #appendToLine(text, isComplete) {
    if (!this.#inLine) {
      text = this.#start + text;
      this.#start = "";
      if (!isComplete && !this.#isDecided(text)) {
        this.#start = text;
        return;
      }
      this.#inLine = true;
      this.#startLine(text.slice(0, MAX_START), isComplete && text.length <= MAX_START);
      text = text.slice(MAX_START);
    }
    this.#block?.add(text);
  }

  #isDecided(line) {
    if (line.length >= MAX_START) return true;
    if (this.#block instanceof Code) return !UNDECIDED_IN_CODE.test(line);
    if (this.#block instanceof Table) return line.includes("|");
    if (WHOLE_LINE.test(line) || PERHAPS_TASK.test(line)) return false;
    return LETTER.test(line.replaceAll(/\[x\]/gi, "")) || !UNDECIDED.test(line.trimStart());
  }

  #startLine(line, isComplete) {
    let rest = line;
    let depth = 0; // the number of containers that the line is in
    for (const container of this.#containers) {
      const inner = container.inner(rest);
      if (inner === undefined) break;
      rest = inner;
      depth++;
    }
    const isInside = depth === this.#containers.length;
    // Models do not always indent what belongs to a list item.
    const isPerhapsInside = this.#containers.slice(depth).every(({ list }) => list);
    if (isPerhapsInside && this.#block?.takes(rest, isInside)) {
      this.#block.startLine(rest);
      return;
    }
    if (!rest.trim()) {
      this.#close(depth);
      return;
    }
    if (isInside && isComplete && this.#startTable(rest)) return;

    let interrupts = isInside && this.#block instanceof Paragraph;
    for (; depth < MAX_DEPTH; depth++) {
      const item = !RULE.test(rest) && ITEM.exec(rest);
      const quote = QUOTE.exec(rest);
      if (!quote && (!item || (interrupts && !mayInterrupt(item, rest)))) break;
      rest = rest.slice((quote ?? item)[0].length);
      const task = !quote && TASK.exec(rest);
      if (task) rest = rest.slice(task[0].length);
      if (quote) this.#openQuote(depth, direction(rest));
      else this.#openItem(depth, item, task, direction(rest));
      interrupts = false;
    }
    const heading = HEADING.exec(rest);
    const fence = FENCE.exec(rest);
    if (!rest.trim()) return;
    if (heading) this.#openHeading(depth, heading, isComplete);
    else if (fence) this.#open(depth, new Code(fence[1] ?? fence[3], fence[2] ?? fence[4]));
    else if (RULE.test(rest)) this.#close(depth).append(node("hr"));
    else if (this.#block instanceof Paragraph) this.#block.startLine(rest);
    else this.#openParagraph(depth, "p", rest);
  }

  /** Closes the block, and the containers from a depth on. Returns the innermost one that is open then. */
  #close(depth = this.#containers.length) {
    this.#block?.render();
    this.#block = null;
    this.#containers.length = depth;
    return this.#containers.at(-1) ?? this.#root;
  }

  #open(depth, block) {
    this.#close(depth).append(block.element);
    this.#block = block;
  }

  #openQuote(depth, dir) {
    const element = node("blockquote", { dir });
    this.#close(depth).append(element);
    const inner = (line) => (QUOTE.test(line) ? line.replace(QUOTE, "") : undefined);
    this.#containers.push(Object.assign(new Container(element), { inner }));
  }

  #openItem(depth, [, space, marker], task, dir) {
    const isOrdered = marker.length > 1;
    let list = this.#containers[depth]?.list;
    const parent = this.#close(depth);
    if (list?.isOrdered !== isOrdered || list.count === MAX_ITEMS) {
      const start = list?.isOrdered && isOrdered ? list.element.start + list.count : parseInt(marker, 10);
      list = { isOrdered, count: 0, element: isOrdered ? node("ol", { start }) : node("ul") };
      list.element.dir = dir;
      parent.append(list.element);
    }
    const element = node("li");
    if (task) {
      const defaultChecked = task[1] !== " ";
      const ariaLabel = defaultChecked ? "Done" : "To do";
      element.append(node("input", { type: "checkbox", disabled: true, defaultChecked, ariaLabel }));
    }
    list.element.append(element);
    list.count++;
    const indent = width(space);
    const inner = (line) => {
      if (!line.trim()) return line;
      return width(line) > indent + 1 ? dedent(line, indent + marker.length + 1) : undefined;
    };
    this.#containers.push(Object.assign(new Container(element), { inner, list }));
  }

  #openHeading(depth, [, signs, text], isComplete) {
    // The page has the first two levels for itself, and no level may be left out.
    while (this.#levels.at(-1) >= signs.length) this.#levels.pop();
    this.#levels.push(signs.length);
    const tag = `h${Math.min(this.#levels.length + 2, 6)}`;
    this.#openParagraph(depth, tag, isComplete ? text.trimEnd().replace(/(^|[ \t])#+$/, "") : text);
  }

  #openParagraph(depth, tag, text) {
    const container = this.#close(depth);
    const makeNext = () => {
      const next = node("p", { className: "more" });
      container.append(next);
      return next;
    };
    this.#open(depth, new Paragraph(node(tag), makeNext));
    this.#block.startLine(text);
  }

  /** Makes the last line of the paragraph a table's head, if this line is the rule below it. */
  #startTable(line) {
    if (!(this.#block instanceof Paragraph) || !TABLE_RULE.test(line.trim())) return false;
    const head = this.#block.lastLine;
    const alignments = cells(line).map((cell) => (cell.endsWith(":") ? (cell.startsWith(":") ? "center" : "right") : ""));
    if (!head.includes("|") || head.length >= MAX_SPAN || cells(head).length !== alignments.length) return false;
    this.#block.removeLastLine();
    this.#open(this.#containers.length, new Table(head, alignments));
    return true;
  }
}

class Paragraph {
  element;
  lastLine = "";
  #inline;
  #isEmpty = true;
  #math = null; // the end of the mathematics that is open

  constructor(element, makeNext) {
    this.element = element;
    this.#inline = new InlineText(element, makeNext);
  }

  takes(line) {
    return this.#math && Boolean(line.trim());
  }

  startLine(line) {
    if (!this.#isEmpty) this.#inline.add("\n");
    this.#isEmpty = false;
    this.lastLine = "";
    this.add(line.trimStart());
  }

  add(text) {
    if (this.lastLine.length < MAX_SPAN) this.lastLine += text;
    this.#inline.add(text);
  }

  endLine() {
    this.#math = openMath(this.#math, this.lastLine.trim());
    return this.element.tagName !== "P"; // a heading has one line
  }

  removeLastLine() {
    if (this.#inline.removeLast(this.lastLine.length + 1)) this.element.remove();
  }

  render() {
    this.#inline.render();
  }
}

class Code {
  element;
  #fence;
  #text = "";
  #isEmpty = true;
  #isClosed = false;
  #new = ""; // not shown yet
  #code = node("code");
  #shown = new Text();

  constructor(fence, info) {
    this.#fence = fence;
    const language = info.trim().split(/\s/)[0];
    const bar = node("div", { className: "bar" }, node("span", {}, language));
    if (navigator.clipboard) bar.append(copyButton(() => this.#text));
    this.#code.append(this.#shown);
    // What scrolls must be reachable by keyboard.
    const ariaLabel = language ? `Code, ${language}` : "Code";
    const pre = node("pre", { tabIndex: 0, role: "group", ariaLabel }, this.#code);
    this.element = node("div", { className: "code" }, bar, pre);
  }

  takes() {
    return true;
  }

  startLine(line) {
    const end = line.trim();
    this.#isClosed = end.length >= this.#fence.length && end === this.#fence[0].repeat(end.length);
    if (this.#isClosed) return;
    this.add(this.#isEmpty ? line : `\n${line}`);
    this.#isEmpty = false;
  }

  add(text) {
    if (this.#isClosed) return;
    this.#text += text;
    this.#new += text;
  }

  endLine() {
    return this.#isClosed;
  }

  render() {
    while (this.#new) {
      const room = 2 * MAX_CODE - this.#shown.length;
      const lineEnd = this.#new.slice(0, room).indexOf("\n", MAX_CODE - this.#shown.length);
      const end = lineEnd < 0 ? room : lineEnd;
      this.#shown.appendData(this.#new.slice(0, end));
      if (end < this.#new.length) {
        this.#shown = new Text();
        this.#code.append(node("span", { className: "more" }, this.#shown));
      }
      // The end of an element's last line is the element's end.
      this.#new = this.#new.slice(lineEnd < 0 ? end : end + 1);
    }
  }
}

class Table {
  element = node("div", { className: "table", tabIndex: 0, role: "group", ariaLabel: "Table" });
  #alignments;
  #rows;
  #count = 0; // cells in the last table element
  #row = null;

  constructor(head, alignments) {
    this.#alignments = alignments;
    this.element.dir = direction(head);
    this.#addTable().append(node("thead", {}, this.#makeRow(head, "th")), this.#rows);
  }

  #addTable() {
    const table = node("table");
    this.#rows = node("tbody");
    this.#count = 0;
    this.element.append(table);
    return table;
  }

  #makeRow(line, tag) {
    const texts = cells(line).slice(0, this.#alignments.length);
    this.#count += texts.length;
    return node("tr", {}, ...texts.map((text, i) => showInline(node(tag, { className: this.#alignments[i] }), text)));
  }

  takes(line, isInside) {
    return isInside && line.includes("|");
  }

  startLine(line) {
    this.#row = line;
  }

  add(text) {
    if (this.#row !== null) this.#row += text;
  }

  endLine() {
    if (this.#row === null) return false; // the rule
    if (this.#count > MAX_CELLS) this.#addTable().append(this.#rows);
    this.#rows.append(this.#makeRow(this.#row, "td"));
    return false;
  }

  render() {}
}

/** Whether a list item may follow a paragraph's line. A number must be 1: it may be a year. */
function mayInterrupt([whole, , marker], line) {
  return line.length > whole.length && (marker.length === 1 || /^1[.)]$/.test(marker));
}

/** The end of the mathematics that is open after a line, `$$` or `\]`, or null. It opens at the start or the end of a line. */
function openMath(open, line) {
  if (!open && !/^(?:\$\$|\\\[)|(?:\$\$|\\\[)$/.test(line)) return null;
  for (const [mark] of line.replaceAll(/`[^`]*`/g, "").matchAll(/\\[^]|\$\$/g)) {
    if (open) open = mark === open ? null : open;
    else if (mark === "$$") open = mark;
    else if (mark === "\\[") open = "\\]";
  }
  return open;
}

/** The direction of a text by its first letter, or none. */
function direction(text) {
  const [letter] = LETTER.exec(text) ?? [];
  if (!letter) return "";
  return RIGHT_TO_LEFT.test(letter) ? "rtl" : "ltr";
}

function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

/** How far a line is indented; a tab counts as four. */
function width(line) {
  return /^[ \t]*/.exec(line)[0].replaceAll("\t", "    ").length;
}

/** Removes indentation up to a width. */
function dedent(line, columns) {
  let at = 0;
  for (let column = 0; column < columns && /[ \t]/.test(line[at]); at++) column += line[at] === "\t" ? 4 : 1;
  return line.slice(at);
}
