// minitron.start(engine): the page. An engine is an object of two functions:
//   about() -> Promise of what `info --json` prints
//   chat(request, {signal, onChunk}) -> Promise, done at the end of the answer; it rejects with an Error that has .message and
//     .code (as in OpenAI's errors), or with an AbortError
// If opening the model takes time, an engine also has early: the part of about() that is known at once (name, greeting, questions,
// about, weights).
"use strict";
(() => {
  const { words, look, frame, store, text, messages, chats, labels, panels, versions, request, files, search } = minitron;
  const { closeSide } = frame;
  const { t } = words;
  const $ = (id) => document.getElementById(id);
  const LONGEST = 2000; // the upper end of max_tokens where the model continues text or has no limit, if its context is smaller

  let engine, about = {}, all = [], current, settings = {};
  let digest = ""; // of the model whose chats are open
  let ready; // a promise, fulfilled once about() has answered
  const running = new Map(); // chat -> {controller, message}
  let leaving = false; // the page is being closed or reloaded
  let trouble = "", mayGo = false; // a key of words.js for trouble with the storage; whether the browser may delete it

  // --- one answer
  // keep stores a chat. What another tab has added to that chat meanwhile is shown.
  function keep(chat) {
    const changed = store.save(chat, running.get(chat)?.message);
    if (changed && chat === current) messages.show(chat, running.get(chat)?.message);
    store.persist().then((lasts) => { mayGo = !lasts; showStorage(); });
  }

  // showStorage tells what is wrong with the storage, or if nothing is, that the browser may delete it.
  function showStorage() {
    const note = trouble || (mayGo ? "storeMayGo" : "");
    $("storage-note").hidden = !note;
    $("storage-note").classList.toggle("trouble", Boolean(trouble));
    $("storage-note").textContent = note && t(note);
  }

  const systemOf = (chat) => chat.system ?? settings.system ?? about.system ?? "";

  // weigh returns the tokens of an answer with their probabilities, or tells the person why there are none and returns null.
  async function weigh(message) {
    try {
      const tokens = await request.weigh(engine, message);
      if (!tokens) minitron.toast(t("oddsGone"));
      return tokens;
    } catch (error) {
      minitron.toast(request.explain(error));
      return null;
    }
  }

  // answer has the last message of a chat written, or continued if it has text. Another chat may be opened meanwhile.
  async function answer(chat) {
    const message = chat.messages.at(-1);
    const controller = new AbortController();
    running.set(chat, { controller, message });
    showState();
    minitron.announce(t("writing", { name: about.name }));
    const began = performance.now();
    const last = {}; // the fields minitron and usage of the chunks: how the answer went
    let asked;
    try {
      await ready;
      message.system = systemOf(chat);
      const body = request.body(chat, message, about, settings);
      asked = request.remember(message, body);
      await engine.chat(body, {
        signal: controller.signal,
        onChunk(chunk) {
          if (controller.signal.aborted) return;
          const choice = chunk.choices?.[0];
          if (choice?.delta?.content) message.content += choice.delta.content;
          Object.assign(last, chunk.minitron, chunk.usage); // usage may come in a chunk of its own
          if (choice) messages.update(message, true);
        },
      });
      finish(chat, message, last, began);
    } catch (error) {
      if (asked) asked.stopped = true;
      // A page that is closed or reloaded breaks off its requests: that is not shown as an error.
      if (error.name === "AbortError" || controller.signal.aborted || leaving) message.note = "stopped";
      else message.error = { code: String(error.code ?? ""), message: error.message };
      minitron.announce(message.error ? request.explain(message.error) : t("stoppedLive"));
    }
    if (running.get(chat)?.controller === controller) running.delete(chat); // otherwise an edit has already begun the next answer
    chat.updated = Date.now();
    store.touch(message);
    messages.update(message, false);
    keep(chat);
    showState();
    showChats();
  }

  function finish(chat, message, last, began) {
    if (last.stopped === "max_tokens") message.note = "length";
    else if (last.stopped === "context") message.note = "context";
    else if (!message.content.trim()) message.note = "nothing";
    if ((last.dropped_turns > 0 || last.dropped_tokens > 0) && !chat.told) {
      chat.told = true;
      message.forgot = about.model.context;
    }
    const tokens = last.completion_tokens;
    const passes = last.stopped === "end" ? tokens : tokens - 1; // the passes that decode_ms counts: prefill gives the first token
    const ms = last.decode_ms || performance.now() - began;
    if (tokens) versions.memory(message).stats = { tokens, perSecond: (1000 * passes) / ms };
    minitron.announce(`${t("said", { name: about.name })} ${message.content}`);
  }

  function stop(chat = current) {
    running.get(chat)?.controller.abort();
  }

  // ask puts a question at the end of a chat and has it answered.
  function ask(chat, typed) {
    const content = words.continues ? typed : typed.trim();
    const turn = store.turn(content, "", chat);
    const first = !chat.messages.length;
    if (first) {
      if (!chat.named) chat.title = chats.titleOf(content);
      all.unshift(chat);
    }
    chat.messages.push(...turn);
    chat.updated = Date.now();
    $("welcome").hidden = true;
    messages.append(turn[0]);
    messages.append(turn[1], true);
    messages.toBottom();
    if (first && !chat.removed.length) store.tab.set("draft:", ""); // the draft belongs to this chat now; after an edit it did before
    keepDraft();
    answer(chat);
    keep(chat);
    showChats();
  }

  function regenerate() {
    const message = current.messages.at(-1);
    if (!message || running.has(current)) return;
    versions.begin(message);
    messages.show(current, message);
    messages.toBottom();
    focusField();
    answer(current);
  }

  // retry repeats a failed answer; text that has arrived is kept and continued.
  function retry() {
    if (current.messages.at(-1)?.content) more();
    else regenerate();
  }

  // more has the last answer, or text, continued.
  function more() {
    const message = current.messages.at(-1);
    if (!message || running.has(current)) return;
    for (const key of ["note", "error"]) delete message[key];
    messages.update(message, true);
    focusField();
    answer(current);
  }

  // branch has the last answer continued in another way, from `content`: its beginning, made of `tokens`.
  const canBranch = (message) => message === current.messages.at(-1) && !running.has(current);
  function branch(message, tokens, content) {
    versions.begin(message); // the answer as it was stays a version
    message.content = content;
    request.begun(message, tokens);
    more();
  }

  // edit replaces a message of mine and everything after it.
  async function edit(message, content) {
    const chat = current;
    stop(chat);
    messages.removeFrom(message);
    const gone = chat.messages.splice(chat.messages.indexOf(message));
    chat.removed.push(...gone.flatMap(({ id }) => id ?? []));
    if (!chat.messages.length) {
      all = all.filter((each) => each !== chat); // ask puts it back, as the first
      if (!chat.named) chat.title = "";
    }
    ask(chat, content);
    focusField();
  }

  // --- what is on the screen
  // focusField puts the focus into the text field. On a phone that would open the keyboard, so the conversation gets it there.
  function focusField() {
    $(matchMedia("(hover: hover)").matches ? "message" : "scroll").focus({ preventScroll: true });
  }

  // opened returns the chat that this tab showed before it was reloaded, or a new one.
  function opened() {
    const id = store.tab.get("chat");
    return all.find((chat) => chat.id === id) ?? store.create();
  }

  // Each chat has its own draft; all chats without a message share one.
  const draftKey = () => `draft:${current.messages.length ? current.id : ""}`;
  const keepDraft = () => store.tab.set(draftKey(), $("message").value);
  function showDraft() {
    $("message").value = store.tab.get(draftKey());
    messages.grow($("message"));
  }

  // openChat shows a chat, and scrolls to a message if one is given.
  function openChat(chat, focus = true, message = null) {
    const another = current && current !== chat;
    current = chat;
    if (another) showDraft();
    $("welcome").hidden = chat.messages.length > 0;
    messages.show(chat, running.get(chat)?.message);
    showChats();
    showState();
    closeSide();
    if (focus) focusField();
    if (message) messages.reveal(message);
  }

  function newChat() {
    openChat(current && !current.messages.length ? current : store.create());
  }

  function removeChat(chat) {
    stop(chat);
    const at = all.indexOf(chat), place = chats.placeOf(chat), draft = store.tab.get(`draft:${chat.id}`);
    all.splice(at, 1);
    store.remove(chat);
    store.tab.set(`draft:${chat.id}`, "");
    if (chat === current) openChat(store.create(), false);
    else showChats();
    if (!chats.focus(null, place)) $("new-chat").focus();
    minitron.toast(t("removed"), t("undo"), () => {
      const again = all.find(({ id }) => id === chat.id); // another tab may have gone on with it
      if (!again) {
        all.splice(at, 0, chat);
        store.restore(chat);
        store.tab.set(`draft:${chat.id}`, draft);
      }
      openChat(again ?? chat);
    });
  }

  function showChats() {
    const found = search.find(all, $("search").value);
    chats.show(found, current, {
      open: (chat, message) => openChat(chat, !message, message), remove: removeChat,
      renamed: (chat, focus) => { keep(chat); showState(); if (focus) { showChats(); chats.focus(chat); } },
    });
    $("search-row").hidden = !all.length;
    $("no-chats").hidden = found.length > 0;
    $("no-chats").textContent = t(all.length ? "noneFound" : "noChats");
  }

  function showState() {
    const busy = running.has(current);
    const focused = document.activeElement === $("stop");
    $("stop").hidden = !busy;
    $("send").hidden = busy;
    if (focused) $("message").focus();
    $("open-save").hidden = !all.length;
    for (const id of ["save-text", "save-json", "copy-all"]) $(id).hidden = !current.messages.length;
    $("title").textContent = current.title || about.name || "";
    $("title").classList.toggle("bare", !current.title);
    store.tab.set("chat", current.messages.length ? current.id : "");
    document.title = [current.title, about.name].filter(Boolean).join(" · ") || "minitron";
  }

  // showAbout shows the model's name, greeting and face. It may be called twice: with the early part of about(), then with all of it.
  function showAbout() {
    const name = about.name ?? "";
    for (const each of document.querySelectorAll(".brand-name")) each.textContent = name;
    $("greeting").textContent = about.greeting || t("welcome", { name });
    $("message").placeholder = t("placeholder", { name });
    $("questions").replaceChildren(...(about.questions ?? []).map((question) => {
      const chip = text.node("button", { type: "button", class: "chip", text: question });
      chip.addEventListener("click", () => { if (!running.has(current)) ask(current, question); focusField(); });
      return text.node("li", {}, chip);
    }));
    frame.showFace(about);
    messages.setup({ name });
    if (!about.model) return;
    panels.about(about);
    const context = words.continues || about.model.arch === "stream" ? Math.max(about.model.context, LONGEST) : about.model.context;
    panels.settings({ own: { ...about.sampling, system: about.system ?? "" }, context, values: settings, changed: store.saveSetting });
  }

  function openModel(known) {
    about = known;
    if (words.continues !== (about.template === "text")) {
      words.continues = about.template === "text";
      speak();
    }
    if (about.weights && about.weights.sha256 !== digest) {
      digest = about.weights.sha256;
      all = store.open(digest);
      settings = panels.sound(store.settings());
    }
    showAbout();
    if (current) { showChats(); showState(); return; }
    openChat(opened(), matchMedia("(hover: hover)").matches);
    if (!$("message").value) showDraft(); // otherwise the person has already typed something
  }

  function load() {
    $("trouble").hidden = true;
    $("loading").hidden = false;
    ready = engine.about().then((whole) => {
      $("loading").hidden = true;
      openModel(whole);
    });
    ready.catch((error) => {
      const retry = text.node("button", { type: "button", class: "quiet", text: t("retry") });
      retry.addEventListener("click", load);
      $("loading").hidden = true;
      $("trouble").replaceChildren(text.node("p", { text: ["unreachable", "unknown_url"].includes(error.code) ? request.explain(error) : `${t("cannotStart")} ${error.message}` }), retry);
      $("trouble").hidden = false;
    });
  }

  function showTheme() {
    $("theme-name").textContent = t("theme", { name: t(look.theme).toLowerCase() });
    $("theme").querySelector("use").setAttribute("href", `#i-${look.theme}`);
  }

  function speak() {
    words.fill(document);
    if (location.protocol === "file:") $("fine").lastElementChild.textContent = t("fineFile");
    panels.help();
    showTheme();
    $("language").textContent = t("otherLanguage");
    $("language").lang = words.lang === "en" ? "ru" : "en";
    showStorage();
    if (current) {
      showAbout();
      messages.show(current, running.get(current)?.message);
      showChats();
      showState();
    }
  }

  // --- what the person does
  function submit() {
    const content = $("message").value;
    if (!current || !content.trim() || running.has(current)) return; // no chat is open until the model is known
    $("message").value = "";
    messages.grow($("message"));
    ask(current, content);
  }

  function listen() {
    const on = (id, what) => $(id).addEventListener("click", what);
    $("composer").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
    $("composer").addEventListener("click", (event) => { if (event.target === $("composer")) $("message").focus(); });
    $("message").addEventListener("input", () => { messages.grow($("message")); if (current) keepDraft(); });
    $("search").addEventListener("input", showChats);
    $("search").addEventListener("keydown", (event) => {
      if (!messages.isEscape(event) || !$("search").value) return;
      event.stopPropagation();
      $("search").value = "";
      showChats();
    });
    $("message").addEventListener("keydown", (event) => {
      if (messages.sends(event)) {
        event.preventDefault();
        submit();
      } else if (event.key === "ArrowUp" && !$("message").value && current?.messages.length) {
        event.preventDefault();
        messages.edit(current.messages.at(-2));
      }
    });
    document.addEventListener("keydown", (event) => {
      if (messages.isEscape(event) && !document.querySelector("dialog[open]")) {
        if (document.body.classList.contains("side-open")) closeSide();
        else stop();
      }
      const shortcut = panels.hasShortcuts && event.altKey && !event.ctrlKey && !event.metaKey && { KeyN: newChat, KeyM: () => $("message").focus(), KeyK: () => panels.open("help") }[event.code];
      if (shortcut && !document.querySelector("dialog[open]")) { event.preventDefault(); shortcut(); }
    });
    on("stop", () => stop());
    on("new-chat", newChat);
    on("new-chat-top", newChat);
    for (const panel of ["settings", "about", "help", "save"]) on(`open-${panel}`, () => { closeSide(); panels.open(panel); });
    on("theme", () => { look.next(); showTheme(); });
    on("language", () => { look.speak(words.lang === "en" ? "ru" : "en"); speak(); });
    on("reset", () => { settings = {}; store.clearSettings(); showAbout(); });
    files.listen({ current: () => current, all: () => all, name: () => about.name, systemOf, opened: openSaved });
    // Unfinished answers are stored when the page is reloaded, and when it goes to the background, where a phone may end it without
    // notice. After pagehide the page may also come back from the browser's memory as it was.
    document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") keepParts(); });
    window.addEventListener("pagehide", () => { leaving = true; keepParts(); });
    window.addEventListener("pageshow", () => { leaving = false; });
  }

  // keepParts stores the answers that are being written as if they were stopped now.
  function keepParts() {
    for (const [chat, { message }] of running) {
      message.note = "stopped";
      store.touch(message);
      store.save(chat, message);
      delete message.note;
    }
  }

  // openSaved adds the new chats of a file to the list. `one` is the chat to show, if the file held a single one.
  function openSaved(fresh, one) {
    all = [...fresh, ...all].sort((a, b) => b.updated - a.updated);
    for (const chat of fresh) keep(chat);
    if (one) return openChat(one);
    minitron.toast(fresh.length ? t("opened", { n: words.number(fresh.length) }) : t("nothingNew"));
    return showChats();
  }

  // otherTab takes over what another tab did with a chat; `chat` is null if it was deleted there. An open chat stays open.
  function otherTab(id, chat) {
    const mine = all.find((each) => each.id === id);
    if (!mine && chat) {
      all.unshift(chat);
    } else if (mine && chat) {
      const { title, named, updated } = chat;
      Object.assign(mine, { title, named, updated });
      const writing = running.get(mine)?.message;
      const { changed, ahead } = store.merge(mine, chat, writing);
      if (writing && !mine.messages.includes(writing)) stop(mine);
      if (changed && mine === current) messages.show(mine, writing);
      if (ahead && !writing) keep(mine); // both wrote at the same moment; what is being written is stored at its end
      showState();
    } else if (mine !== current && !running.has(mine)) {
      all = all.filter((each) => each !== mine);
    }
    showChats();
  }

  minitron.start = (given) => {
    engine = given;
    messages.setup({
      regenerate, more, retry, edit, branch, canBranch, weigh, explain: request.explain,
      keep: (message) => { store.touch(message); keep(current); },
      isBusy: (message) => running.get(current)?.message === message,
    });
    labels.setup({ about: () => about, all: () => all, system: () => systemOf(current) });
    const hint = () => { $("message").enterKeyHint = messages.touched.matches ? "enter" : "send"; };
    messages.touched.addEventListener("change", hint); // e.g. a keyboard and a mouse are attached to a tablet
    hint();
    store.onTrouble((now) => { trouble = now; showStorage(); });
    store.onChange(otherTab);
    listen();
    speak();
    if (engine.early) openModel(engine.early);
    load();
  };
})();
