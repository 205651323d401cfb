// Chats in files: saves one as text or JSON, or all in one file, and opens saved files again.
"use strict";
(() => {
  const { words, versions, request, store, chats, text: { node, copy } } = minitron;
  const { t } = words;
  const $ = (id) => document.getElementById(id);
  const MOST_BYTES = 1 << 24; // the largest file that is opened: more than any browser stores

  function asText(chat, name) {
    if (words.continues) return chat.messages.map((m) => (m.role === "user" ? m.content : `${m.content}\n\n`)).join("");
    const parts = chat.messages.filter((m) => m.content).map((m) => `${m.role === "user" ? t("you") : name}:\n${m.content}`);
    return `${chat.title}\n\n${parts.join("\n\n")}\n`;
  }

  // saved returns a chat in the form "A saved chat" of docs/formats.md.
  function saved(chat, system) {
    const message = (m) => ({ role: m.role, content: m.content, ...(m.versions && { versions: m.versions.map((each) => each && each.content) }) });
    return { messages: [...(system ? [{ role: "system", content: system }] : []), ...request.turns(chat.messages).map(message)] };
  }

  const asJSON = (chat, system) => `${JSON.stringify(saved(chat, system), null, 1)}\n`;

  // asLines returns all chats, one line of JSON each: a saved chat with its title and the time of its last change.
  function asLines(all, systemOf) {
    const whole = all.filter((chat) => request.turns(chat.messages).length);
    return whole.map((chat) => `${JSON.stringify({ title: chat.title, updated: chat.updated, ...saved(chat, systemOf(chat)) })}\n`).join("");
  }

  function parse(content) {
    try {
      return [JSON.parse(content)];
    } catch { /* not one JSON value: perhaps JSON lines */ }
    try {
      return content.split("\n").filter((line) => line.trim()).map((line) => JSON.parse(line));
    } catch {
      return [];
    }
  }

  // chatOf makes a chat from what `saved` and the command /save write; null if that is no chat.
  function chatOf(found) {
    const messages = Array.isArray(found?.messages) ? [...found.messages] : [];
    if (!messages.length || !messages.every((m) => typeof m?.content === "string")) return null;
    const first = messages[0].role === "system" ? messages.shift() : null;
    if (!messages.length || messages.length % 2 || !messages.every((m, i) => m.role === ["user", "assistant"][i % 2])) return null;
    const turns = messages.flatMap((m, i) => (i % 2 ? [] : turnOf(m, messages[i + 1])));
    const title = messages.map(({ content }) => chats.titleOf(content)).find(Boolean) ?? ""; // the question may be empty
    const given = typeof found.title === "string" ? chats.titleOf(found.title, chats.NAME) : "";
    return Object.assign(store.create(), {
      title: given || title, named: Boolean(given) && given !== title, system: first?.content, messages: turns,
      ...(Number.isFinite(found.updated) && { updated: found.updated }),
    });
  }

  function turnOf(question, answer) {
    const turn = store.turn(question.content, answer.content);
    const texts = Array.isArray(answer.versions) ? answer.versions : [];
    turn[1].versions = texts.map((content) => (content === null ? null : { content }));
    versions.sound(turn[1]);
    return turn;
  }

  // read returns the chats in the text of a file; none if the file is empty or if anything in it is no chat.
  function read(content) {
    const found = parse(content.replace(/^\uFEFF/, "")).map(chatOf); // the byte order mark that editors on Windows put before a text
    return found.includes(null) ? [] : found;
  }

  function download(name, type, content) {
    const address = URL.createObjectURL(new Blob([content], { type: `${type};charset=utf-8` }));
    const link = node("a", { href: address, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }

  // fileName makes a name of the letters and digits of a title, of any script: some write vowels as marks.
  function fileName(title, ending) {
    const name = title.replace(/[^\p{L}\p{M}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 40);
    return `${name || "chat"}.${ending}`;
  }

  // listen connects the buttons. page: {current(), all(), name(), systemOf(chat), opened(chats)}.
  function listen(page) {
    const save = (id, title, ending, type, content) => $(id).addEventListener("click", () => {
      download(fileName(title(), ending), type, content());
      $("save").close();
    });
    const title = () => page.current().title;
    save("save-text", title, "txt", "text/plain", () => asText(page.current(), page.name()));
    save("save-json", title, "json", "application/json", () => asJSON(page.current(), page.systemOf(page.current())));
    save("save-all", () => `${page.name()} ${t("chats")}`, "jsonl", "application/jsonl", () => asLines(page.all(), page.systemOf));
    $("copy-all").addEventListener("click", () => { copy(asText(page.current(), page.name())); $("save").close(); });
    $("open-file").addEventListener("click", () => $("file").click());
    $("file").addEventListener("change", () => { const [file] = $("file").files; if (file) open(file, page); $("file").value = ""; });
  }

  // open hands the chats of a file to page.opened, except those that are in the list already.
  async function open(file, page) {
    const content = file.size <= MOST_BYTES ? await file.text().catch(() => null) : "";
    if (content === null) return minitron.toast(t("unreadable", { name: file.name })); // it has changed or gone since it was chosen
    const found = read(content);
    if (!found.length) return minitron.toast(t("notAChat", { name: file.name }));
    const same = (chat) => JSON.stringify(saved(chat, page.systemOf(chat)));
    const there = new Map(page.all().map((chat) => [same(chat), chat]));
    const fresh = found.filter((chat) => !there.has(same(chat)));
    return page.opened(fresh, found.length === 1 ? fresh[0] ?? there.get(same(found[0])) : null);
  }

  minitron.files = { listen, download };
})();
