// The list of chats.
"use strict";
(() => {
  const { words, messages, text: { node, iconButton } } = minitron;
  const { t } = words;
  const list = document.getElementById("chats");
  const TITLE = 48, NAME = 120; // characters, of a title and of a name that a person gives

  // titleOf returns the first words of a text, up to `most` characters.
  function titleOf(text, most = TITLE) {
    const line = text.trim().replace(/\s+/g, " ");
    const letters = Array.from(line);
    return letters.length <= most ? line : `${letters.slice(0, most).join("").replace(/\s+\S*$/, "")}…`;
  }

  let rows = []; // rows of the list: {chat, item}

  // show lists what was found: [{chat, message, excerpt}]; message and excerpt are there if a search found a message.
  // handlers: {open(chat, message), remove(chat), renamed(chat, focus: whether the focus shall go back to the chat)}.
  // While a chat is being renamed the list stays as it is. The button with the focus keeps it.
  function show(found, current, handlers) {
    if (list.querySelector(".rename")) return;
    const had = rows.find(({ item }) => item.contains(document.activeElement));
    const button = had && [...had.item.querySelectorAll("button")].indexOf(document.activeElement);
    rows = found.map((each) => ({ chat: each.chat, item: row(each, each.chat === current, handlers) }));
    list.replaceChildren();
    for (const { item } of rows) list.append(item);
    rows.find(({ chat }) => chat === had?.chat)?.item.querySelectorAll("button")[button]?.focus();
  }

  // focus puts the focus on a chat in the list, or on the row at a place. Returns false if there is no such row.
  function focus(chat, at = rows.findIndex((each) => each.chat === chat)) {
    const button = rows[Math.min(at, rows.length - 1)]?.item.querySelector("button");
    button?.focus();
    return Boolean(button);
  }

  function row(found, isCurrent, handlers) {
    const { chat, message, excerpt } = found;
    const open = node("button", { type: "button", class: "chat", text: chat.title, title: chat.title });
    if (excerpt) open.append(node("span", { class: "excerpt", text: excerpt }));
    if (isCurrent) open.setAttribute("aria-current", "true");
    open.addEventListener("click", () => handlers.open(chat, message));
    const item = node("li", { class: isCurrent ? "current" : "" }, open);
    const more = node("span", { class: "row-actions" },
      iconButton("edit", t("renameThis", { title: chat.title }), () => rename(found, item, handlers)),
      iconButton("bin", t("removeThis", { title: chat.title }), () => handlers.remove(chat)));
    item.append(more);
    return item;
  }

  function rename(found, item, handlers) {
    const { chat } = found;
    const field = node("input", { class: "rename", "aria-label": t("chatName"), maxlength: NAME });
    let finished = false; // Enter finishes twice: it removes the field, and the field then loses the focus
    const finish = (keep, focus) => {
      if (finished) return;
      finished = true;
      if (keep && field.value.trim() && field.value.trim() !== chat.title) {
        chat.title = field.value.trim();
        chat.named = true;
      }
      // Only this row is made anew: the person may be pressing a button of another one.
      const renamed = row(found, item.className === "current", handlers);
      rows.find((each) => each.item === item).item = renamed;
      item.replaceWith(renamed);
      handlers.renamed(chat, focus);
    };
    field.value = chat.title;
    field.addEventListener("keydown", (event) => {
      if (messages.isEnter(event)) {
        event.preventDefault(); // otherwise Enter would also press the button that gets the focus
        finish(true, true);
      }
      if (messages.isEscape(event)) { event.stopPropagation(); finish(false, true); }
    });
    field.addEventListener("blur", () => finish(true, false)); // the person is at something else already
    item.replaceChildren(field);
    field.focus();
    field.select();
  }

  minitron.chats = { show, focus, titleOf, NAME, placeOf: (chat) => rows.findIndex((each) => each.chat === chat) };
})();
