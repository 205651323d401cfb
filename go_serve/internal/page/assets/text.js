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

  // blocks cuts a text into paragraphs and fenced code. An open fence at the end is code that is still being written.
  function blocks(text) {
    const found = [];
    let lines = [], fence = null;
    const close = (kind) => {
      const body = lines.join("\n");
      if (kind === "code" || body.trim()) found.push({ kind, body });
      lines = [];
    };
    for (const line of text.split("\n")) {
      const mark = /^\s*(`{3,})[^`]*$/.exec(line);
      if (fence === null && mark) {
        close("text");
        fence = mark[1];
      } else if (fence !== null && mark && line.trim() === fence) {
        close("code");
        fence = null;
      } else if (fence === null && !line.trim()) {
        close("text");
      } else {
        lines.push(line);
      }
    }
    close(fence === null ? "text" : "code");
    return found;
  }

  function paragraph(text) {
    const p = node("p");
    text.split(/(`[^`\n]+`)/).forEach((part, i) => p.append(i % 2 ? node("code", { text: part.slice(1, -1) }) : part));
    return p;
  }

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
        const made = block.kind === "code" ? code(block.body) : paragraph(block.body);
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
