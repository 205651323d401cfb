// The list of chats, and saving one to a file.
"use strict";
(() => {
  const { words, messages, text: { node, iconButton } } = minitron;
  const { t } = words;
  const list = document.getElementById("chats");
  const TITLE = 48; // characters

  // titleOf is the first words of the first message.
  function titleOf(text) {
    const line = text.trim().replace(/\s+/g, " ");
    const letters = Array.from(line);
    return letters.length <= TITLE ? line : `${letters.slice(0, TITLE).join("").replace(/\s+\S*$/, "")}…`;
  }

  // show lists the chats. handlers: {open(chat), removed(chat, undo)}.
  function show(chats, current, handlers) {
    list.replaceChildren(...chats.map((chat) => row(chat, chat === current, handlers)));
    document.getElementById("no-chats").hidden = chats.length > 0;
  }

  function row(chat, isCurrent, handlers) {
    const open = node("button", { type: "button", class: "chat", text: chat.title, title: chat.title });
    if (isCurrent) open.setAttribute("aria-current", "true");
    open.addEventListener("click", () => handlers.open(chat));
    const item = node("li", { class: isCurrent ? "current" : "" }, open);
    const more = node("span", { class: "row-actions" },
      iconButton("edit", t("renameThis", { title: chat.title }), () => rename(chat, item, handlers)),
      iconButton("bin", t("removeThis", { title: chat.title }), () => handlers.remove(chat)));
    item.append(more);
    return item;
  }

  function rename(chat, item, handlers) {
    const field = node("input", { class: "rename", "aria-label": t("chatName"), maxlength: "120" });
    let finished = false; // leaving the field by Enter also takes the focus from it
    const finish = (keep) => {
      if (finished) return;
      finished = true;
      if (keep && field.value.trim() && field.value.trim() !== chat.title) {
        chat.title = field.value.trim();
        chat.named = true;
      }
      handlers.renamed(chat);
    };
    field.value = chat.title;
    field.addEventListener("keydown", (event) => {
      if (messages.isEnter(event)) {
        event.preventDefault(); // else Enter would press the button that gets the focus
        finish(true);
      }
      if (messages.isEscape(event)) { event.stopPropagation(); finish(false); }
    });
    field.addEventListener("blur", () => finish(true));
    item.replaceChildren(field);
    field.focus();
    field.select();
  }

  // --- files
  function asText(chat, name) {
    if (words.continues) return chat.messages.map((m) => (m.role === "user" ? m.content : `${m.content}\n\n`)).join("");
    const parts = chat.messages.filter((m) => m.content).map((m) => `${m.role === "user" ? t("you") : name}:\n${m.content}`);
    return `${chat.title}\n\n${parts.join("\n\n")}\n`;
  }

  // answered leaves out the turns that have no answer: a conversation is user and assistant in turn.
  function answered(messages) {
    const pairs = [];
    for (let i = 0; i + 1 < messages.length; i += 2) if (messages[i + 1].content) pairs.push(messages[i], messages[i + 1]);
    return pairs.map(({ role, content }) => ({ role, content }));
  }

  // asJSON is "A saved chat" of docs/formats.md.
  function asJSON(chat, system) {
    const first = system ? [{ role: "system", content: system }] : [];
    return `${JSON.stringify({ messages: [...first, ...answered(chat.messages)] }, null, 1)}\n`;
  }

  // fromJSON reads what asJSON and /save write: {title, system, messages}, or null where it is none. turn makes two messages.
  function fromJSON(content, turn) {
    let messages;
    try {
      ({ messages } = JSON.parse(content));
    } catch {
      return null;
    }
    if (!Array.isArray(messages) || !messages.every((m) => typeof m?.content === "string")) return null;
    const first = messages[0]?.role === "system" ? messages.shift() : null;
    if (!messages.length || messages.length % 2 || !messages.every((m, i) => m.role === ["user", "assistant"][i % 2])) return null;
    const turns = messages.flatMap((m, i) => (i % 2 ? [] : turn(m.content, messages[i + 1].content)));
    return { title: titleOf(messages[0].content), system: first?.content, messages: turns };
  }

  function download(name, type, content) {
    const address = URL.createObjectURL(new Blob([content], { type: `${type};charset=utf-8` }));
    const link = node("a", { href: address, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }

  // fileName keeps letters and digits of any script.
  function fileName(chat, ending) {
    const words = chat.title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 40);
    return `${words || "chat"}.${ending}`;
  }

  minitron.chats = { show, titleOf, asText, asJSON, fromJSON, answered, download, fileName };
})();
