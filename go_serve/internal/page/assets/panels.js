// The panels: settings, about, keyboard. They are dialog elements: the browser keeps the focus inside and restores it afterwards.
"use strict";
(() => {
  const { words, text: { node, iconButton, copy } } = minitron;
  const { t, number } = words;

  // What can be set: [name, lowest, highest, step]; a highest value of null stands for the model's context.
  const NUMBERS = [
    ["temperature", 0, 2, 0.05], ["top_p", 0.01, 1, 0.01], ["top_k", 0, 200, 1], ["min_p", 0, 1, 0.01],
    ["repeat_penalty", 1, 2, 0.05], ["max_tokens", 1, null, 1],
  ];
  const isNumber = (name) => name === "seed" || NUMBERS.some(([each]) => each === name);

  // sound returns what can be set of what is stored: another version or another page may have written anything there.
  function sound(stored) {
    const right = ([name, value]) => (name === "system" ? typeof value === "string" : isNumber(name) && Number.isFinite(value));
    return Object.fromEntries(Object.entries(stored).filter(right));
  }

  // No shortcuts on a Mac: there Option with a letter types another character, and with N it is the dead key for ñ.
  const hasShortcuts = !/Mac|iPhone|iPad/.test(navigator.platform);
  const MOST_SEED = Number.MAX_SAFE_INTEGER;

  function open(id) {
    const panel = document.getElementById(id);
    if (!panel.open) panel.showModal();
  }

  for (const panel of document.querySelectorAll("dialog")) {
    panel.addEventListener("click", (event) => {
      if (event.target === panel || event.target.closest("[data-close]")) panel.close();
    });
  }

  // settings builds the panel. own: the model's sampling and system message; values: what the person changed; changed(name, value) is
  // told of each change, with undefined for what is the model's own again.
  function settings({ own, context, values, changed }) {
    const body = document.getElementById("settings-body");
    body.replaceChildren();
    const put = (name, value) => {
      if (value === null || value === own[name]) delete values[name];
      else values[name] = value;
      changed(name, values[name]);
    };
    for (const [name, low, high, step] of NUMBERS) body.append(slider(name, low, high ?? context, step, own[name], values[name], put));
    body.append(seed(values.seed, put));
    if (!words.continues) body.append(system(own.system, values.system, put));
  }

  function label(name, forId, own) {
    return node("div", { class: "setting-head" }, node("label", { for: forId, text: t(name) }),
      node("span", { class: "own", id: `${forId}-own`, text: own === undefined ? "" : t("own", { value: own }) }));
  }

  function slider(name, low, high, step, own, value, put) {
    const id = `set-${name}`;
    const bounds = { min: low, max: Math.max(high, own), step };
    const range = node("input", { type: "range", ...bounds, "aria-label": t(name), "aria-describedby": `${id}-hint` });
    const field = node("input", { type: "number", id, ...bounds, inputmode: "decimal", "aria-describedby": `${id}-hint ${id}-own` });
    const show = (now) => {
      range.value = now;
      range.style.setProperty("--part", `${(100 * (now - low)) / (bounds.max - low || 1)}%`);
    };
    range.addEventListener("input", () => { field.value = range.value; show(range.value); put(name, Number(range.value)); });
    field.addEventListener("change", () => {
      const wanted = field.value === "" ? own : Number(field.value);
      const now = Math.min(bounds.max, Math.max(low, step >= 1 ? Math.round(wanted) : wanted));
      field.value = now;
      show(now);
      put(name, now);
    });
    field.value = value ?? own;
    show(value ?? own);
    return node("div", { class: "setting" }, label(name, id, number(own)), node("div", { class: "setting-row" }, range, field),
      node("p", { class: "hint", id: `${id}-hint`, text: t(`${name}Hint`) }));
  }

  function seed(value, put) {
    const field = node("input", { type: "number", id: "set-seed", min: 0, max: MOST_SEED, step: 1, inputmode: "numeric", placeholder: t("seedNone"), "aria-describedby": "set-seed-hint" });
    field.value = value ?? "";
    field.addEventListener("change", () => {
      const now = field.value === "" ? null : Math.min(MOST_SEED, Math.max(0, Math.round(Number(field.value))));
      field.value = now ?? "";
      put("seed", now);
    });
    return node("div", { class: "setting" }, label("seed", "set-seed"), field, node("p", { class: "hint", id: "set-seed-hint", text: t("seedHint") }));
  }

  function system(own, value, put) {
    const field = node("textarea", { id: "set-system", rows: 3, "aria-describedby": "set-system-hint" });
    field.value = value ?? own;
    field.addEventListener("input", () => put("system", field.value.trim() === own ? null : field.value.trim()));
    return node("div", { class: "setting" }, label("system", "set-system", own || t("empty")), field, node("p", { class: "hint", id: "set-system-hint", text: t("systemHint") }));
  }

  function about(a) {
    const { model, made } = a;
    const facts = node("dl", { class: "facts-list" });
    const fact = (key, value, extra) => {
      if (!value) return;
      facts.append(node("dt", { text: t(key) }), node("dd", {}, ...(Array.isArray(value) ? value : [value]), ...(extra ? [extra] : [])));
    };
    const more = node("dl", { class: "facts-list" });
    const detail = (key, value, extra) => value && more.append(node("dt", { text: t(key) }), node("dd", {}, value, ...(extra ? [extra] : [])));

    fact("parameters", `${number(a.params, { notation: "compact", maximumSignificantDigits: 3 })} (${number(a.params)})`);
    fact("memory", model.arch === "stream" ? t("memoryEndless") : t("memoryValue", { tokens: words.count("tokens", model.context) }));
    if (made?.trained) fact("trained", day(made.trained));
    fact("sources", made?.sources?.length ? made.sources.map((source) => node("span", { class: "source" }, node("strong", { text: source.name }),
      ...[source.licence, source.address].filter(Boolean).map((line) => node("span", { text: line })))) : "");
    fact("licence", a.about?.licence);
    detail("shape", t("shapeValue", { arch: model.arch, layers: number(model.n_layers), heads: number(model.n_heads), dim: number(model.d_model) }));
    detail("vocabulary", t("pieces", { n: number(model.vocab_size) }));
    detail("weights", `${a.dtype}, ${number(a.weights.bytes / 1e6, { style: "unit", unit: "megabyte", maximumFractionDigits: 1 })}`);
    const digest = iconButton("copy", t("copyDigest"), () => copy(a.weights.sha256, digest));
    detail("sha256", node("code", { class: "digest", text: a.weights.sha256 }), digest);
    detail("made", [`minitron ${made?.minitron ?? ""}`, made?.recipe, made?.stage].filter(Boolean).join(", "));
    detail("program", [a.program_version, a.platform].filter(Boolean).join(", "));
    detail("kernel", a.kernel);

    document.getElementById("about-body").replaceChildren(
      node("div", { class: "about-head" }, node("span", { class: "badge large", "aria-hidden": "true" }),
        node("div", {}, node("p", { class: "about-name", text: a.name }), node("p", { class: "hint", text: a.about?.version ?? "" }))),
      node("div", { class: "promise" }, minitron.text.icon("lock"), node("div", {}, node("strong", { text: t("promise") }), node("p", { text: [t("promiseMore"), ...(location.protocol === "file:" ? [t("fromFile")] : [])].join(" ") }))),
      facts, node("h3", { text: t("details") }), more);
  }

  function day(date) {
    const when = new Date(date);
    return Number.isNaN(when.getTime()) ? date : new Intl.DateTimeFormat(words.locale(), { dateStyle: "long" }).format(when);
  }

  function help() {
    const shortcuts = hasShortcuts ? [[["Alt", "N"], "kNew"], [["Alt", "M"], "kFocus"], [["Alt", "K"], "kHelp"]] : [];
    const keys = [[["enter"], "kSend"], [["shift", "enter"], "kLine"], [["esc"], "kStop"], [["up"], "kEdit"], ...shortcuts, [["arrows"], "kOdds"]];
    const list = node("dl", { class: "keys" });
    for (const [names, what] of keys) {
      list.append(node("dt", {}, ...names.map((key) => node("kbd", { text: t(key) }))), node("dd", { text: t(what) }));
    }
    document.getElementById("help-body").replaceChildren(list);
  }

  minitron.panels = { open, sound, settings, about, help, hasShortcuts };
})();
