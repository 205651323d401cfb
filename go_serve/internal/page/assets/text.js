// Text to nodes. What a model or a person wrote only ever becomes text nodes: never HTML.
"use strict";
(() => {
  const { words } = minitron;

  // node makes an element: node("p", {class: "x", text: "y"}, children…).
  function node(tag, { class: name, text, ...attributes } = {}, ...children) {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  function icon(name) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    const use = document.createElementNS(space, "use");
    use.setAttribute("href", `#i-${name}`);
    svg.setAttribute("aria-hidden", "true");
    svg.append(use);
    return svg;
  }

  // iconButton is a button without words; title is its name.
  function iconButton(name, title, onClick, style = "icon-button") {
    const button = node("button", { type: "button", class: style }, icon(name));
    words.name(button, title);
    button.addEventListener("click", onClick);
    return button;
  }

  // blocks cuts a text into what Markdown makes of it, as far as small models write it: [{kind, body}] with the kinds text, code, heading,
  // ul and ol. An open fence at the end is code that is still being written.
  const ITEM = /^\s*(?:([-*+])|(\d{1,9})[.)])\s+(?=\S)/;
  function blocks(text) {
    const found = [];
    let lines = [], kind = "text", fence = "";
    const close = (next) => {
      const body = lines.join("\n");
      if (kind === "code" || body.trim()) found.push({ kind, body });
      lines = [];
      kind = next;
    };
    for (const line of text.split("\n")) {
      const mark = /^\s*(`{3,})[^`]*$/.exec(line);
      const item = ITEM.exec(line);
      if (kind === "code" && !(mark && line.trim() === fence)) {
        lines.push(line);
      } else if (mark) {
        close(kind === "code" ? "text" : "code");
        fence = mark[1];
      } else if (!line.trim()) {
        close("text");
      } else if (/^#{1,6}\s+\S/.test(line)) {
        close("heading");
        lines.push(line.replace(/^#+\s+/, ""));
        close("text");
      } else {
        const next = item ? (item[1] ? "ul" : "ol") : kind;
        if (next !== kind) close(next);
        lines.push(line);
      }
    }
    close("text");
    return found;
  }

  // inline puts a text into an element: `code`, **strong**, *emphasis*. A star between letters or digits, or with spaces, is a star.
  const INLINE = /(`[^`\n]+`|\*\*(?=\S)[^*\n]+(?<=\S)\*\*|(?<![\p{L}\p{N}*])\*(?=\S)[^*\n]+(?<=\S)\*(?![\p{L}\p{N}*]))/u;
  function inline(element, text) {
    text.split(INLINE).forEach((part, i) => {
      if (i % 2 === 0) element.append(part);
      else if (part.startsWith("`")) element.append(node("code", { text: part.slice(1, -1) }));
      else if (part.startsWith("**")) element.append(node("strong", { text: part.slice(2, -2) }));
      else element.append(node("em", { text: part.slice(1, -1) }));
    });
    return element;
  }

  // list makes ul or ol of lines; one that begins no item goes on with the item before it.
  function list(kind, body) {
    const items = [];
    for (const line of body.split("\n")) {
      if (ITEM.test(line)) items.push(line.replace(ITEM, ""));
      else items.push(`${items.pop()}\n${line.trim()}`);
    }
    const first = kind === "ol" ? { start: ITEM.exec(body)[2] } : {};
    return node(kind, first, ...items.map((item) => inline(node("li"), item)));
  }

  const MAKE = {
    code,
    text: (body) => inline(node("p"), body),
    heading: (body) => node("p", { class: "heading" }, inline(node("strong"), body)),
    ul: (body) => list("ul", body),
    ol: (body) => list("ol", body),
  };

  function code(text) {
    const button = iconButton("copy", words.t("copyCode"), () => copy(text, button));
    return node("div", { class: "code" }, node("pre", { tabindex: "0" }, node("code", { text })), button);
  }

  // writer keeps a container equal to a growing text. Only the block that changed is made anew.
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

  // continuation does the same for a text that was begun: all of it as it is, in one paragraph.
  function continuation(container, begun) {
    const paragraph = node("p", {}, node("span", { class: "begun", text: begun }), "");
    return (text) => {
      paragraph.lastChild.nodeValue = text;
      if (!text) container.replaceChildren();
      else if (container.firstChild !== paragraph) container.replaceChildren(paragraph);
    };
  }

  // copy puts text on the clipboard and says so on the button that was pressed.
  async function copy(text, button) {
    try {
      if (navigator.clipboard) await navigator.clipboard.writeText(text);
      else if (!copyOld(text)) throw new Error("refused");
    } catch {
      if (!copyOld(text)) return minitron.toast(words.t("copyFailed"));
    }
    minitron.announce(words.t("copied"));
    const use = button?.querySelector("use");
    if (!use) return minitron.toast(words.t("copied"));
    use.setAttribute("href", "#i-check");
    setTimeout(() => use.setAttribute("href", "#i-copy"), 1600);
  }

  // copyOld is for pages without the clipboard interface: a file opened from disk in some browsers.
  function copyOld(text) {
    const area = node("textarea", { class: "sr", "aria-hidden": "true" });
    const focused = document.activeElement;
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    focused?.focus();
    return done;
  }

  minitron.text = { node, icon, iconButton, blocks, writer, continuation, copy };
})();
