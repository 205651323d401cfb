// Labels: what a person thinks of an answer, which is good, bad, or what it should have been. They are kept with the chat in this
// browser; once there is one, a button among those that save writes all of them to a file that can be sent (docs/loop.md).
//
// A label is stored in its message, and each version of an answer has its own: {kind: "good", "bad" or "fix", fix: the better answer,
// of: the answer that was labelled, system, time}.
"use strict";
(() => {
  const { words, actions, request, files, messages, versions: { memory }, text: { node } } = minitron;
  const { t } = words;

  let page = {}; // {about(), all(): the chats, system(): the system message of the open chat}
  const setup = (given) => { page = given; };

  // labelOf returns the label of an answer; null if the answer has changed since, by being regenerated or continued.
  const labelOf = (message) => (message.label?.of === message.content ? message.label : null);
  const possible = (message) => !words.continues && Boolean(message.content);
  const has = (kind) => (message) => labelOf(message)?.kind === kind;

  function put({ message, redraw, keep }, label) {
    const first = !file().labels.length;
    if (label) message.label = { ...label, of: message.content, system: message.system ?? page.system(), time: new Date().toISOString() };
    else delete message.label;
    keep();
    redraw();
    if (label && first) minitron.toast(t("labelsKept"));
  }

  const toggle = (kind) => (answer) => put(answer, has(kind)(answer.message) ? null : { kind });

  // A correction that is being written is in the memory of the version that it corrects: {of: the answer as it was, text}. So it goes
  // with that version when another one, or another chat, is shown, and comes back with it.
  function fix(answer) {
    const { message, item } = answer;
    if (memory(message).fixing) return;
    memory(message).fixing = { of: message.content, text: labelOf(message)?.fix ?? message.content };
    showFix(answer);
    const field = item.querySelector(".fixing textarea");
    field.focus();
    field.select();
  }

  // showFix makes the field of the correction that is being written, if there is one, and takes away that of another version.
  // Submitted empty or unchanged, it removes an earlier fix.
  const forms = new WeakMap(); // form -> its correction
  function showFix(answer) {
    const { message, item } = answer;
    const { fixing } = memory(message);
    const old = item.querySelector(".fixing");
    if (fixing === (old && forms.get(old))) return;
    old?.remove();
    if (!fixing) return;
    const field = node("textarea", { "aria-label": t("fixLabel"), rows: "3" });
    field.value = fixing.text;
    field.addEventListener("input", () => { fixing.text = field.value; });
    const cancel = node("button", { type: "button", class: "quiet", text: t("cancel") });
    const form = node("form", { class: "fixing" }, field,
      node("div", { class: "editing-foot" }, cancel, node("button", { type: "submit", class: "solid", text: t("keepFix") })));
    forms.set(form, fixing);
    const close = () => { delete memory(message).fixing; form.remove(); answer.button.focus(); };
    cancel.addEventListener("click", close);
    form.addEventListener("keydown", (event) => {
      if (!messages.isEscape(event)) return;
      event.stopPropagation();
      close();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = field.value.trim();
      // The answer went on, or does so now: whoever corrects it should see what the correction will be kept with.
      if (message.content !== fixing.of || item.classList.contains("writing")) {
        fixing.of = message.content;
        minitron.toast(t("fixLate"));
        return;
      }
      close();
      if (text && text !== message.content.trim()) put(answer, { kind: "fix", fix: text });
      else if (has("fix")(message)) put(answer, null);
    });
    item.querySelector(".actions").before(form);
  }

  actions.list.push(
    { icon: "good", title: "good", shown: possible, pressed: has("good"), press: toggle("good") },
    { icon: "bad", title: "bad", shown: possible, pressed: has("bad"), press: toggle("bad") },
    { icon: "edit", title: "fix", class: "fix", shown: possible, pressed: has("fix"), press: fix, update: showFix },
  );

  // file returns the content of the file that can be sent: all labels of all chats with this model.
  function file() {
    const labels = page.all().flatMap((chat) => chat.messages.flatMap((message, i) => {
      const answers = i % 2 ? (message.versions ?? [null]).map((version) => version ?? message) : [];
      return answers.filter(labelOf).map((answer) => {
        const { kind, fix, system, time } = answer.label;
        const first = system ? [{ role: "system", content: system }] : [];
        const before = [...request.turns(chat.messages.slice(0, i - 1)), chat.messages[i - 1]].map(({ role, content }) => ({ role, content }));
        return { messages: [...first, ...before], answer: answer.content, kind, ...(fix && { fix }), time };
      });
    }));
    const { name, weights } = page.about();
    return { format: "minitron-labels", version: 1, model: { name: name ?? "", sha256: weights?.sha256 ?? "" }, labels };
  }

  // The button stands with those that save a chat; it is hidden while there are no labels.
  const count = node("span");
  const button = node("button", { type: "button", class: "choice", id: "save-labels" }, node("strong"), count);
  button.addEventListener("click", () => {
    files.download("labels.json", "application/json", `${JSON.stringify(file(), null, 1)}\n`);
    document.getElementById("save").close();
  });
  document.querySelector("#save .choices").append(button);
  document.getElementById("open-save").addEventListener("click", () => {
    const { labels } = file();
    button.hidden = !labels.length;
    button.firstChild.textContent = t("saveLabels");
    count.textContent = t("saveLabelsHint", { n: labels.length });
  });

  minitron.labels = { setup, file };
})();
