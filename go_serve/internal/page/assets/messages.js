// The conversation on the screen. Each message has its node, made once; while an answer grows only its last block changes,
// at most once per frame.
"use strict";
(() => {
  const { words, text: { node, iconButton, continuation, copy }, markdown: { writer }, odds, actions, versions, request } = minitron;
  const { t } = words;
  const list = document.getElementById("messages");
  const scroll = document.getElementById("scroll");
  const toEnd = document.getElementById("to-end");

  let name = "";
  let handlers = {}; // {regenerate(), more(), retry(), edit(message, text), branch(message, tokens, text), canBranch(message), keep(message), weigh(message), isBusy(message)}
  let shown = new Map(); // message -> {item, update}
  // of an answer: {asked, tokens: with probabilities, stats, shown: whether the probabilities are, fixing: see labels.js}; of a
  // message of the person: {editing: what the field holds in which it is being edited}
  const memory = versions.memory;

  // --- scrolling: the end stays in view until the person scrolls up.
  let following = true;
  const atEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 48;
  let place = 0, size = "";
  const sizeNow = () => `${scroll.clientWidth} ${scroll.clientHeight}`;
  scroll.addEventListener("scroll", () => {
    if (size !== sizeNow()) return; // it was the window that changed, or the phone was turned
    // Only scrolling up ends it: the event comes late, and the content may have grown or shrunk meanwhile without the person.
    if (atEnd()) following = true;
    else if (scroll.scrollTop < place) following = false;
    place = scroll.scrollTop;
    toEnd.hidden = following || atEnd();
  }, { passive: true });
  toEnd.addEventListener("click", () => { toBottom(); document.getElementById("message").focus(); });
  // A tap on a message shows its buttons on screens without a mouse.
  list.addEventListener("click", (event) => {
    list.querySelector(".open")?.classList.remove("open");
    event.target.closest(".message")?.classList.add("open");
  });
  new ResizeObserver(() => { size = sizeNow(); follow(); }).observe(scroll);

  function toBottom() {
    following = true;
    toEnd.hidden = true;
    follow();
  }

  function follow() {
    if (following) scroll.scrollTop = scroll.scrollHeight;
    else toEnd.hidden = atEnd();
  }

  // --- one message
  const NOTES = { stopped: "stopped", length: "cutLength", context: "cutContext", nothing: "nothing" };
  const UNFINISHED = ["stopped", "length", "context"]; // an answer with such a note can go on

  function mine(message) {
    const bubble = node("div", { class: "bubble", text: message.content });
    const copyButton = iconButton("copy", t("copy"), () => copy(message.content, copyButton));
    const buttons = node("div", { class: "actions" }, copyButton, iconButton("edit", t("edit"), () => edit(message)));
    const item = node("li", { class: "message mine" }, node("h2", { class: "sr", text: t("you") }), bubble, buttons);
    return { item, update() {} };
  }

  // isOpen tells whether the probabilities of an answer are shown.
  const isOpen = (message) => Boolean(memory(message).shown && memory(message).tokens);
  async function toggleOdds({ message, redraw, button }) {
    const known = memory(message);
    known.shown = !known.shown;
    if (known.shown && !known.tokens) {
      button.setAttribute("aria-busy", "true");
      const { asked } = known;
      const tokens = await handlers.weigh(message);
      button.removeAttribute("aria-busy");
      if (known.asked !== asked) return; // the answer goes on meanwhile
      known.tokens = tokens;
      if (!tokens) known.shown = false;
      if (memory(message) !== known) return; // another version is shown meanwhile
    }
    redraw();
  }

  actions.list.push(
    { icon: "copy", title: "copy", shown: (message) => message.content,
      press: ({ message, begun, button }) => copy((words.continues ? begun : "") + message.content, button) },
    { icon: "odds", title: "odds", press: toggleOdds, shown: request.canWeigh, pressed: isOpen },
    { icon: "again", title: "regenerate", last: true, press: () => handlers.regenerate() },
    { icon: "down", title: "more", last: true, class: "more", press: () => handlers.more(),
      shown: (message) => words.continues || (message.content && UNFINISHED.includes(message.note)) },
  );

  // theirs makes the node of an answer, or of the continuation of a text, `begun`.
  function theirs(message, begun) {
    const body = node("div", { class: "text" });
    const below = node("div", { class: "below" });
    const badge = node("span", { class: "badge", "aria-hidden": "true" });
    const said = node("div", { class: "said" }, node("h2", { class: "sr", text: t("said", { name }) }), body, below);
    const item = node("li", { class: "message theirs" }, badge, said);
    const { bar, update: updateBar } = actions.bar({ message, begun, item, body, redraw, keep: () => handlers.keep(message) });
    const turner = pager(message, redraw);
    bar.prepend(turner.pages);
    said.append(bar);
    const newWriter = () => (words.continues ? continuation(body, begun) : writer(body));
    let write = newWriter();

    // redraw shows the answer anew and keeps the scroll position.
    function redraw() {
      const scrolled = scroll.scrollTop;
      update();
      scroll.scrollTop = scrolled;
    }

    function update(writing = false) {
      const open = isOpen(message) && !writing;
      item.classList.toggle("writing", writing);
      item.classList.toggle("empty", !message.content);
      if (open) {
        body.replaceChildren(odds.view(memory(message).tokens, memory(message).stats, handlers.canBranch(message) && ((at, other) => branch(message, at, other))));
        write = null;
      } else {
        if (!write) { body.replaceChildren(); write = newWriter(); }
        write(message.content);
      }
      if (writing && !message.content && !body.firstChild) body.append(dots());
      updateBar();
      if (!writing) turner.update();
      bar.hidden = writing;
      if (!writing || message.error) notes();
    }

    function notes() {
      below.replaceChildren();
      if (message.error) {
        const retry = node("button", { type: "button", class: "quiet", text: t("retry") });
        retry.addEventListener("click", () => handlers.retry());
        below.append(node("div", { class: "trouble" }, node("p", { text: handlers.explain(message.error) }), retry));
      } else if (message.note) {
        below.append(node("p", { class: "note", text: t(NOTES[message.note] ?? "stopped") }));
      }
      if (message.forgot) below.append(node("p", { class: "note forgot", text: t("forgot", { name, n: words.number(message.forgot) }) }));
    }
    return { item, update };
  }

  // branch replaces a token of an answer by another one and has the answer continued from there.
  function branch(message, at, other) {
    if (!handlers.canBranch(message)) return;
    const { tokens } = memory(message);
    const kept = [...tokens.slice(0, at), { ...other, top_logprobs: tokens[at].top_logprobs }];
    const decode = (some) => new TextDecoder().decode(Uint8Array.from(some.flatMap((token) => token.bytes ?? [])));
    const lead = decode(tokens).startsWith(" ") && !message.content.startsWith(" ") ? 1 : 0; // a leading space that the tokenizer added
    handlers.branch(message, kept, decode(kept).slice(lead));
  }

  // pager makes the buttons that go from version to version of an answer: ‹ 1/2 ›.
  function pager(message, redraw) {
    const turn = (by) => {
      if (handlers.isBusy(message)) return;
      versions.show(message, versions.place(message).at + by);
      handlers.keep(message);
      redraw();
      minitron.announce(`${label.textContent} ${message.content}`);
    };
    const back = iconButton("back", t("earlier"), () => turn(-1)), on = iconButton("forth", t("later"), () => turn(1));
    const label = node("span", { class: "place" });
    const pages = node("span", { class: "pages", role: "group", "aria-label": t("versions") }, back, label, on);
    function update() {
      const { at, of } = versions.place(message);
      pages.hidden = of < 2;
      label.textContent = `${words.number(at + 1)}/${words.number(of)}`;
      back.setAttribute("aria-disabled", String(at === 0)); // not `disabled`, which would take the focus away
      on.setAttribute("aria-disabled", String(at === of - 1));
    }
    return { pages, update };
  }

  function dots() {
    return node("span", { class: "dots", "aria-hidden": "true" }, node("i"), node("i"), node("i"));
  }

  // edit replaces a message of the person by a field. A chat has at most one such field; it is there again when the chat is.
  function edit(message) {
    const { item } = shown.get(message);
    const open = list.querySelector(".editing");
    if (!open || !item.contains(open)) {
      open?.querySelector(".quiet").click();
      memory(message).editing = message.content;
      showEdit(message);
    }
    item.querySelector(".editing textarea").focus();
  }

  function showEdit(message) {
    const { item } = shown.get(message);
    const { editing } = memory(message);
    const field = node("textarea", { "aria-label": t("editLabel"), rows: "1" });
    const send = node("button", { type: "submit", class: "solid", text: t("sendEdited") });
    const cancel = node("button", { type: "button", class: "quiet", text: t("cancel") });
    const form = node("form", { class: "editing" }, field, node("div", { class: "editing-foot" }, cancel, send));
    field.value = editing;
    const hidden = [...item.querySelectorAll(".bubble, .actions")];
    const leave = () => {
      delete memory(message).editing;
      form.remove();
      for (const each of hidden) each.hidden = false;
      item.classList.remove("being-edited");
      item.querySelector(".actions button:last-child").focus();
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (field.value.trim()) handlers.edit(message, field.value);
    });
    cancel.addEventListener("click", leave);
    field.addEventListener("input", () => { memory(message).editing = field.value; grow(field); });
    field.addEventListener("keydown", (event) => {
      if (sends(event)) { event.preventDefault(); form.requestSubmit(); }
      if (isEscape(event)) { event.stopPropagation(); leave(); }
    });
    for (const each of hidden) each.hidden = true;
    item.classList.add("being-edited");
    item.append(form);
    grow(field);
    field.setSelectionRange(field.value.length, field.value.length);
  }

  // While a word is being composed (IME), keys belong to the composition; Safari marks them with keyCode 229.
  const composes = (event) => event.isComposing || event.keyCode === 229;
  // A touch screen has no Shift+Enter, so there Enter begins a new line, and only the button sends.
  const touched = matchMedia("(hover: none) and (pointer: coarse)");
  const isEnter = (event) => event.key === "Enter" && !event.shiftKey && !composes(event);
  const sends = (event) => isEnter(event) && !touched.matches;
  const isEscape = (event) => event.key === "Escape" && !composes(event);

  function grow(field) {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
  }

  // --- all messages
  let begun = ""; // the person's last message
  function add(message) {
    if (message.role === "user") begun = message.content;
    const made = message.role === "user" ? mine(message) : theirs(message, begun);
    shown.set(message, made);
    list.append(made.item);
    return made;
  }

  // heightOf returns the height of a message without its padding.
  function heightOf(item) {
    const { paddingTop, paddingBottom } = getComputedStyle(item);
    return item.offsetHeight - Number.parseFloat(paddingTop) - Number.parseFloat(paddingBottom);
  }

  // show puts a chat on the screen in place of the last one; running is the message that is being written, if any. If it is the same
  // chat, who has scrolled up in it goes on reading there.
  let onScreen; // the chat
  function show(chat, running) {
    const heights = chat === onScreen ? Array.from(list.children, heightOf) : [];
    const reading = chat === onScreen && !following ? scroll.scrollTop : null;
    onScreen = chat;
    const typing = list.querySelector("textarea:focus");
    const [at] = [...shown].find(([, { item }]) => item.contains(typing)) ?? [];
    shown = new Map();
    list.replaceChildren();
    for (const message of chat.messages) {
      add(message).update(message === running);
      if (memory(message).editing !== undefined) showEdit(message);
    }
    Array.from(list.children).slice(0, heights.length).forEach((item, i) => { item.style.containIntrinsicSize = `auto ${heights[i]}px`; }); // see chat.css
    if (reading === null) toBottom();
    else scroll.scrollTop = reading;
    // Who was typing in one of its fields goes on.
    const field = typing && shown.get(at)?.item.querySelector("textarea");
    field?.focus();
    field?.setSelectionRange(typing.selectionStart, typing.selectionEnd);
  }

  // update shows the current state of a message at the next frame, once, however often it is called until then.
  const waiting = new Map(); // message -> whether it is being written
  function update(message, writing) {
    if (!waiting.size) requestAnimationFrame(draw);
    waiting.set(message, writing);
  }

  function draw() {
    for (const [message, writing] of waiting) shown.get(message)?.update(writing);
    waiting.clear();
    follow();
  }

  function append(message, writing) {
    const made = add(message);
    made.item.classList.add("arriving");
    made.update(writing);
  }

  // reveal scrolls to a message and marks it for a moment.
  function reveal(message) {
    const item = shown.get(message)?.item;
    if (!item) return;
    following = false;
    item.scrollIntoView({ block: "center" });
    item.classList.add("revealed");
    item.addEventListener("animationend", () => item.classList.remove("revealed"), { once: true });
  }

  function removeFrom(message) {
    let item = shown.get(message)?.item;
    while (item) { const next = item.nextSibling; item.remove(); item = next; }
  }

  minitron.messages = {
    show, append, update, removeFrom, toBottom, reveal, grow, isEnter, isEscape, sends, touched, edit,
    setup(options) { name = options.name ?? name; handlers = { ...handlers, ...options }; },
  };
})();
