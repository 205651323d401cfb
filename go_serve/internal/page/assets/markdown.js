// Turns Markdown into nodes, as much of it as small models write: **strong**, *emphasis*, `code`, lists, tables, headings, quotes,
// fenced code.
// What a model wrote only ever becomes text nodes, never HTML; a link is shown as its text and its address and cannot be pressed.
// The time is linear in the length of the text, whatever is in it.
"use strict";
(() => {
  const { words, text: { node, iconButton, copy } } = minitron;
  const DEEPEST = 5; // levels of nested lists
  const ITEM = /^(\s*)(?:([-*+])|(\d{1,9})[.)])\s+(?=\S)/;
  const FENCE = /^(\s*)(`{3,}(?!`)|~{3,}(?!~))([^`]*)$/; // all of its signs, so that no shorter run is tried

  const isRule = (line) => /^(-{3,}|\*{3,}|_{3,})$/.test(line.replace(/\s/g, ""));
  const cells = (line) => line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replace(/\\\|/g, "|"));
  // A table begins with a line of cells and, below it, a line with the same number of cells made of dashes.
  const isTable = (head, line) => head.includes("|") && line.includes("-") && cells(line).every((cell) => /^:?-+:?$/.test(cell)) && cells(head).length === cells(line).length;

  // blocks cuts a text into [{kind, body}], with the kinds of MAKE. A fence that is not closed is code that is still being written.
  function blocks(text) {
    const found = [];
    let lines = [], kind = "text", fence = "", indent = 0;
    let blank = false; // in a list, the line before is empty
    const close = (next) => {
      const body = lines.join("\n");
      if (kind === "code" || kind === "rule" || body.trim()) found.push({ kind, body });
      lines = [];
      kind = next;
      blank = false;
    };
    const alone = (its, body) => { close(its); lines.push(body); close("text"); };
    for (const line of text.split("\n")) {
      if (kind === "code") {
        const bare = line.trim();
        if (bare.length >= fence.length && !bare.replaceAll(fence[0], "")) close("text");
        else lines.push(line.slice(Math.min(indent, line.search(/\S|$/))));
        continue;
      }
      const open = FENCE.exec(line), item = ITEM.exec(line);
      const inList = kind === "ul" || kind === "ol";
      if (open) {
        close("code");
        [, { length: indent }, fence] = open;
      } else if (!line.trim()) {
        if (inList) blank = true;
        else close("text");
      } else if (isRule(line)) {
        alone("rule", "");
      } else if (/^#{1,6}\s+\S/.test(line)) {
        alone("heading", line.replace(/^#+\s+/, ""));
      } else if (item) {
        const its = item[2] ? "ul" : "ol";
        if (!inList || (its !== kind && !item[1])) close(its);
        lines.push(line);
        blank = false;
      } else if (/^\s{0,3}>/.test(line)) {
        if (kind !== "quote") close("quote");
        lines.push(line.replace(/^\s*> ?/, ""));
      } else if (kind === "text" && lines.length && isTable(lines.at(-1), line)) {
        const head = lines.pop();
        close("table");
        lines.push(head, line);
      } else {
        if ((kind === "table" && !line.includes("|")) || (blank && !/^\s/.test(line))) close("text");
        lines.push(line);
        blank = false;
      }
    }
    close("text");
    return found;
  }

  // The markup within a line. A star or an underscore between letters or digits, or beside a space, is an ordinary character.
  const INLINE = new RegExp([
    "\\\\[*_`]", // escaped
    "(?<!`)`[^`\\n]+`(?!`)",
    "\\*\\*\\*(?=\\S)[^*\\n]+(?<=\\S)\\*\\*\\*",
    "\\*\\*(?=\\S)(?:[^*\\n]|\\*(?!\\*))+(?<=\\S)\\*\\*",
    "(?<![\\p{L}\\p{N}*])\\*(?=\\S)[^*\\n]+(?<=\\S)\\*(?![\\p{L}\\p{N}*])",
    "(?<![\\p{L}\\p{N}_])_(?=\\S)[^_\\n]+(?<=\\S)_(?![\\p{L}\\p{N}_])",
    "!?\\[[^\\[\\]\\n]+\\]\\([^()\\s]+\\)",
  ].map((part) => `(?:${part})`).join("|").replace(/^.*$/, "($&)"), "u");

  // inline adds a text with the markup within lines to an element.
  function inline(element, text) {
    text.split(INLINE).forEach((part, i) => element.append(i % 2 ? special(part) : part));
    return element;
  }

  function special(part) {
    if (part.startsWith("\\")) return part.slice(1);
    if (part.startsWith("`")) return node("code", { text: part.slice(1, -1) });
    if (part.startsWith("***") && part.endsWith("***")) return node("strong", {}, inline(node("em"), part.slice(3, -3)));
    if (part.startsWith("**")) return inline(node("strong"), part.slice(2, -2));
    if (/^[*_]/.test(part)) return inline(node("em"), part.slice(1, -1));
    const [, label, address] = /^!?\[(.*)\]\((.*)\)$/s.exec(part);
    return node("span", {}, label, node("span", { class: "address", text: ` (${address})` }));
  }

  // list makes ul or ol from lines. A line that begins no item continues the item before it; an item that is indented further begins
  // a list within that item.
  function list(body) {
    const open = []; // open lists, the outermost first: {list, kind, indent, item: lines of the last item, within: the lists in that item}
    let outermost;
    const write = (each) => {
      inline(each.list.lastChild, each.item.join("\n")).append(each.within);
      each.within = document.createDocumentFragment();
    };
    const finish = (level) => { while (open.length > level) write(open.pop()); };
    for (const line of body.split("\n")) {
      const found = ITEM.exec(line);
      if (!found) {
        open.at(-1).item.push(line.trim());
        continue;
      }
      const [whole, space, dash, number] = found;
      const indent = space.replaceAll("\t", "    ").length; // a tab is as wide as four spaces
      const kind = dash ? "ul" : "ol", item = [line.slice(whole.length)];
      let level = open.findIndex((each) => indent <= each.indent + 1); // the list that it belongs to
      if (level < 0) level = Math.min(open.length, DEEPEST - 1); // indented further than all open lists
      finish(level + 1);
      const here = open[level];
      if (here && (here.kind === kind || !level)) {
        write(here);
        here.item = item;
        here.list.append(node("li"));
        continue;
      }
      finish(level);
      const made = node(kind, kind === "ol" ? { start: number } : {}, node("li"));
      open.push({ list: made, kind, indent, item, within: document.createDocumentFragment() });
      if (level) open[level - 1].within.append(made);
      else outermost = made;
    }
    finish(0);
    return outermost;
  }

  function table(body) {
    const [head, dashes, ...rows] = body.split("\n").map(cells);
    const sides = dashes.map((cell) => (!cell.endsWith(":") ? "" : cell.startsWith(":") ? "center" : "right"));
    const row = (tag, texts) => {
      const made = node("tr");
      texts.slice(0, head.length).forEach((text, i) => made.append(inline(node(tag, { class: sides[i] }), text)));
      return made; // a row with fewer cells is not filled up: a short text could otherwise make a huge table
    };
    const lower = node("tbody");
    for (const texts of rows) lower.append(row("td", texts));
    return node("div", { class: "table", tabindex: "0" }, node("table", {}, node("thead", {}, row("th", head)), lower));
  }

  function code(text) {
    const button = iconButton("copy", words.t("copyCode"), () => copy(text, button));
    return node("div", { class: "code" }, node("pre", { tabindex: "0" }, node("code", { text })), button);
  }

  const MAKE = {
    code, table, ul: list, ol: list,
    text: (body) => inline(node("p"), body),
    heading: (body) => node("p", { class: "heading" }, inline(node("strong"), body)),
    quote: (body) => node("blockquote", {}, inline(node("p"), body)),
    rule: () => node("hr"),
  };

  // writer returns a function that shows a growing text in a container. Only blocks that changed are made anew.
  function writer(container) {
    let shown = [];
    return (text) => {
      const now = blocks(text);
      now.forEach((block, i) => {
        if (shown[i]?.kind === block.kind && shown[i].body === block.body) return;
        const made = MAKE[block.kind](block.body);
        if (container.children[i]) container.children[i].replaceWith(made);
        else container.append(made);
      });
      while (container.children.length > now.length) container.lastChild.remove();
      shown = now;
    };
  }

  minitron.markdown = { blocks, writer };
})();
