// Makes nodes of texts. What a model or a person wrote only ever becomes text nodes, never HTML.
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

  // iconButton makes a button with an icon and no words; title is its name.
  function iconButton(name, title, onClick, style = "icon-button") {
    const button = node("button", { type: "button", class: style }, icon(name));
    words.name(button, title);
    button.addEventListener("click", onClick);
    return button;
  }

  // continuation returns a function that shows a begun text and its continuation in a container: verbatim, in one paragraph.
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

  // copyOld copies without the clipboard interface, which some browsers lack for a file opened from disk.
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

  minitron.text = { node, icon, iconButton, continuation, copy };
})();
