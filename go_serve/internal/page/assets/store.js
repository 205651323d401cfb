// What the browser keeps: chats and settings of one model, under the prefix minitron:<digest>:. Each chat has its own key, so
// that two tabs do not overwrite each other's. Where storage is blocked or full the page goes on from memory and says so.
//
// A chat: {id, title, named, created, updated, told, messages: [{role, content, note, error, forgot}]}; user and assistant in turn.
"use strict";
(() => {
  let prefix = "minitron:";
  let trouble = ""; // "", "storeBlocked" or "storeFull"
  const listeners = [];
  const deleted = new Set(); // ids: an answer that still arrives must not bring its chat back

  function report(now) {
    if (now === trouble) return;
    trouble = now;
    for (const tell of listeners) tell(trouble);
  }

  function write(key, value) {
    try {
      localStorage.setItem(prefix + key, JSON.stringify(value));
      report("");
    } catch (error) {
      report(error.name === "QuotaExceededError" || error.name === "NS_ERROR_DOM_QUOTA_REACHED" ? "storeFull" : "storeBlocked");
    }
  }

  function read(key) {
    try {
      return JSON.parse(localStorage.getItem(key));
    } catch {
      return null;
    }
  }

  // sound returns a stored chat if it is one: another version or another page may have written there.
  function sound(chat) {
    if (!chat || typeof chat.id !== "string" || !Array.isArray(chat.messages)) return null;
    const right = (m, i) => m && m.role === ["user", "assistant"][i % 2] && typeof m.content === "string";
    if (!chat.messages.every(right) || chat.messages.length % 2) return null;
    return { ...chat, title: String(chat.title ?? ""), updated: Number(chat.updated) || 0 };
  }

  // open chooses the model and returns its chats, the latest first.
  function open(digest) {
    prefix = `minitron:${digest.slice(0, 12)}:`;
    const chats = [];
    try {
      for (let i = 0; i < localStorage.length; i++) {
        const key = localStorage.key(i);
        const chat = key.startsWith(`${prefix}chat:`) && sound(read(key));
        if (chat) chats.push(chat);
      }
      localStorage.setItem(`${prefix}probe`, "1");
      localStorage.removeItem(`${prefix}probe`);
    } catch (error) {
      report(error.name === "QuotaExceededError" ? "storeFull" : "storeBlocked");
    }
    return chats.sort((a, b) => b.updated - a.updated);
  }

  function save(chat) {
    if (deleted.has(chat.id) || !chat.messages.length) return;
    const { id, title, named, created, updated, told, messages } = chat;
    write(`chat:${id}`, { id, title, named, created, updated, told, messages });
  }

  function remove(chat) {
    deleted.add(chat.id);
    try { localStorage.removeItem(`${prefix}chat:${chat.id}`); } catch { /* it was never there */ }
    report("");
  }

  function restore(chat) {
    deleted.delete(chat.id);
    save(chat);
  }

  function create() {
    const id = Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16).padStart(2, "0")).join("");
    return { id, title: "", named: false, created: Date.now(), updated: Date.now(), told: false, messages: [] };
  }

  minitron.store = {
    open, save, remove, restore, create,
    settings: () => read(`${prefix}settings`) ?? {},
    saveSettings: (settings) => write("settings", settings),
    onTrouble: (tell) => listeners.push(tell),
    // onChange tells of a chat that another tab wrote (or removed: null).
    onChange: (tell) => window.addEventListener("storage", (event) => {
      if (event.key?.startsWith(`${prefix}chat:`)) tell(event.key.slice(`${prefix}chat:`.length), event.newValue && sound(read(event.key)));
    }),
  };
})();
