// What the browser keeps: chats and settings of one model, under the prefix minitron:<digest>:. Each chat has its own key; if
// two tabs write in the same chat, their turns are merged. If the storage is blocked or full, the page keeps chats in memory only
// and says so.
//
// A chat: {id, title, named, created, updated, told, system, removed, messages}. system is there only if the chat came from a file
// with a system message; removed holds the ids of deleted turns, so that no other tab brings them back. Messages alternate between
// user and assistant: {role, content, id} with an id that sorts by time, and {role, content, at, note, error, forgot, versions,
// label, system}, where at is the time of the last change in ms, and system the system message that it answers under (label:
// labels.js).
"use strict";
(() => {
  const soundVersions = minitron.versions.sound;
  let prefix = "minitron:";
  let trouble = ""; // "", "storeBlocked" or "storeFull"
  const listeners = [];
  const deleted = new Set(); // ids of deleted chats: an answer that still arrives must not bring its chat back
  const unsaved = new Map(); // id -> chat, of which the storage has an older state or nothing

  function report(now) {
    if (now === trouble) return;
    trouble = now;
    for (const tell of listeners) tell(trouble);
  }

  // write returns what kept it from writing, as in trouble, or "".
  function write(key, value) {
    try {
      localStorage.setItem(prefix + key, JSON.stringify(value));
      return "";
    } catch (error) {
      return error.name === "QuotaExceededError" || error.name === "NS_ERROR_DOM_QUOTA_REACHED" ? "storeFull" : "storeBlocked";
    }
  }

  function writeChat({ id, title, named, created, updated, told, system, removed, messages }) {
    return write(`chat:${id}`, { id, title, named, created, updated, told, system, removed, messages });
  }

  // settle reports what the last write came to. If it went well, there may be room for the chats that found none before.
  function settle(failed) {
    for (const [id, chat] of failed ? [] : unsaved) {
      failed ||= writeChat(chat);
      if (!failed) unsaved.delete(id);
    }
    report(failed);
  }

  function parse(text) {
    try {
      return JSON.parse(text);
    } catch {
      return null;
    }
  }

  function read(key) {
    try {
      return parse(localStorage.getItem(key));
    } catch {
      return null;
    }
  }

  // sound returns a stored chat, or null if it is none: another version or another page may have written under its key.
  function sound(chat) {
    if (!chat || typeof chat.id !== "string" || !Array.isArray(chat.messages)) return null;
    const right = (m, i) => m && m.role === ["user", "assistant"][i % 2] && typeof m.content === "string";
    if (!chat.messages.every(right) || chat.messages.length % 2) return null;
    chat.messages.forEach((m, i) => { // older versions wrote neither at nor id
      if (i % 2) {
        m.at = Number(m.at) || 0;
        soundVersions(m);
      } else m.id = String(m.id ?? i).padStart(6, "0");
    });
    const removed = Array.isArray(chat.removed) ? chat.removed : [];
    return { ...chat, title: String(chat.title ?? ""), updated: Number(chat.updated) || 0, removed };
  }

  const settings = () => read(`${prefix}settings`) ?? {};
  const stored = (id) => sound(read(`${prefix}chat:${id}`));
  const turnsOf = (chat) => chat.messages.flatMap((m, i) => (i % 2 ? [] : [[m, chat.messages[i + 1]]]));
  const versions = (chat) => turnsOf(chat).map(([{ id }, { at }]) => `${id} ${at}`).join();

  // merge takes over what another tab wrote into the same chat. It returns {changed: whether that brought anything new, ahead: whether
  // this tab has something that the other lacks}. Of two versions of an answer the later one is kept, but an answer that is being
  // written here always stays. Turns that either tab removed are gone.
  function merge(chat, other, writing) {
    const before = versions(chat);
    const turns = new Map(turnsOf(chat).map((turn) => [turn[0].id, turn]));
    for (const [question, answer] of turnsOf(other)) {
      const [mine, mineAnswer] = turns.get(question.id) ?? [question, null];
      if (!mineAnswer || (mineAnswer !== writing && mineAnswer.at < answer.at)) turns.set(question.id, [mine, answer]);
    }
    chat.removed = [...new Set([...chat.removed, ...other.removed])];
    for (const id of chat.removed) turns.delete(id);
    chat.messages = [...turns.values()].sort(([a], [b]) => (a.id < b.id ? -1 : 1)).flat();
    chat.told ||= other.told;
    return { changed: versions(chat) !== before, ahead: versions(chat) !== versions(other) };
  }

  // open chooses the model, by its digest, and returns its chats, the latest first.
  function open(digest) {
    prefix = `minitron:${digest.slice(0, 12)}:`;
    unsaved.clear();
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

  // save writes a chat, merged with what another tab has stored meanwhile, and returns whether that brought anything new. writing is
  // the answer that is being written in this tab, if any.
  function save(chat, writing) {
    if (deleted.has(chat.id) || !chat.messages.length) return false;
    const other = stored(chat.id);
    const changed = other !== null && merge(chat, other, writing).changed;
    const failed = writeChat(chat);
    if (failed) unsaved.set(chat.id, chat);
    else unsaved.delete(chat.id);
    settle(failed);
    return changed;
  }

  function remove(chat) {
    deleted.add(chat.id);
    unsaved.delete(chat.id);
    try { localStorage.removeItem(`${prefix}chat:${chat.id}`); } catch { /* without storage it was never stored */ }
    settle("");
  }

  function restore(chat) {
    deleted.delete(chat.id);
    save(chat);
  }

  // persist asks the browser, once, not to delete chats when it is short of room, and returns whether it will keep them. It will not
  // in a private window, nor for a page from a file.
  let kept;
  async function ask() {
    try {
      return (await navigator.storage.persisted()) || (await navigator.storage.persist());
    } catch {
      return false; // the browser has no such function, or the page no right to it
    }
  }
  const persist = () => { kept ??= ask(); return kept; };

  const random = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16).padStart(2, "0")).join("");

  function create() {
    return { id: random(), title: "", named: false, created: Date.now(), updated: Date.now(), told: false, removed: [], messages: [] };
  }

  // turn makes a question and its answer, which is empty at first. No two turns of a tab have the same time, and a turn is later than
  // those of the chat that it comes into, even if the clock was set back since.
  let latest = 0;
  function turn(content, answer = "", chat = { messages: [] }) {
    const before = chat.messages.map(({ id, at }) => at ?? (Number.parseInt(id, 10) || 0));
    latest = Math.max(Date.now(), latest + 1, 1 + before.reduce((a, b) => Math.max(a, b), 0));
    return [{ role: "user", content, id: `${latest}-${random()}` }, { role: "assistant", content: answer, at: latest }];
  }

  // touch makes an answer the latest version of itself.
  function touch(message) { message.at = Math.max(Date.now(), (message.at || 0) + 1); }

  // What belongs to this tab and survives a reload, which phones do by themselves: the open chat, and the drafts.
  const tab = {
    get: (key) => { try { return sessionStorage.getItem(prefix + key) ?? ""; } catch { return ""; } },
    set: (key, value) => {
      try {
        if (value) sessionStorage.setItem(prefix + key, value);
        else sessionStorage.removeItem(prefix + key);
      } catch { /* without storage, a reload loses it */ }
    },
  };

  minitron.store = {
    open, save, merge, remove, restore, create, turn, touch, tab,
    settings,
    // saveSetting changes one setting of those that are stored, as another tab may have changed others; undefined takes it back.
    saveSetting: (name, value) => settle(write("settings", { ...settings(), [name]: value })),
    clearSettings: () => settle(write("settings", {})),
    persist,
    onTrouble: (tell) => listeners.push(tell),
    // onChange calls tell(id, chat) when another tab has written a chat, or deleted it (chat is null).
    onChange: (tell) => window.addEventListener("storage", (event) => {
      if (!event.key?.startsWith(`${prefix}chat:`)) return;
      const id = event.key.slice(`${prefix}chat:`.length);
      const chat = event.newValue && sound(parse(event.newValue));
      if (chat) deleted.delete(id); // a chat that was deleted here may be continued there
      tell(id, chat);
    }),
  };
})();
