// How sure the model was: the answer as tokens, coloured by probability, with the likeliest alternatives to each. All tokens
// together are one stop of the Tab key; arrow keys go from one to the next. Tokens that are parts of one character are shown as one.
"use strict";
(() => {
  const { words, text: { node } } = minitron;
  const { t, number } = words;
  const card = document.getElementById("odds-card");
  const scroll = document.getElementById("scroll");
  const LEVELS = [0.05, 0.2, 0.45, 0.7, 0.9]; // lower bounds of levels 1 to 5

  const percent = (p) => (p > 0 && p < 0.001 ? `< ${number(0.001, { style: "percent", maximumFractionDigits: 1 })}`
    : number(p, { style: "percent", maximumFractionDigits: p > 0.0999 ? 0 : 1 }));
  const level = (p) => LEVELS.filter((bound) => p >= bound).length;
  const bytesOf = (token) => Uint8Array.from(token.bytes ?? []);
  const joint = (tokens) => Math.exp(tokens.reduce((sum, token) => sum + token.logprob, 0));

  // group joins tokens whose bytes make whole characters only together: [{text, p: their joint probability, tokens}].
  function group(tokens) {
    const groups = [];
    const decoder = new TextDecoder();
    let open = [];
    for (const token of tokens) {
      open.push(token);
      const bytes = bytesOf(token);
      const text = decoder.decode(bytes, { stream: true });
      if (!text && bytes.length) continue; // in the middle of a character
      groups.push({ text, p: joint(open), tokens: open });
      open = [];
    }
    // An unfinished character at the end: the answer was stopped.
    if (open.length) groups.push({ text: decoder.decode(), p: joint(open), tokens: open });
    return groups;
  }

  // visible returns the text of a token, or a name if it cannot be seen.
  function visible(token) {
    const bytes = bytesOf(token);
    const text = new TextDecoder().decode(bytes);
    if (!bytes.length) return token.token === "<unk>" ? "?" : t("end"); // of the control tokens, only the end marker can be sampled
    if (text === " ") return t("space");
    if (/^\n+$/.test(text)) return t("newline");
    if (text.includes("\uFFFD")) return Array.from(bytes, (b) => `0x${b.toString(16).toUpperCase().padStart(2, "0")}`).join(" ");
    return text;
  }

  function row(token, chosen) {
    const p = Math.exp(token.logprob);
    const bar = node("span", { class: "bar" }, node("i"));
    bar.firstChild.style.width = `${Math.max(1, p * 100)}%`;
    return node("li", { class: chosen ? "chosen" : "" }, node("span", { class: "what", text: visible(token) }), bar, node("span", { class: "much", text: percent(p) }));
  }

  // takeable reports whether an answer can be continued from this token, which must be whole characters.
  const takeable = (token) => token.bytes?.length > 0 && !new TextDecoder().decode(bytesOf(token)).includes("\uFFFD");
  const same = (a, b) => a.token === b.token && String(a.bytes) === String(b.bytes);

  // table lists a token and its alternatives. The function take, if given, gets the alternative that is clicked.
  function table(token, take) {
    const list = node("ul");
    const others = token.top_logprobs ?? [];
    const all = others.some((other) => same(other, token)) ? others : [...others, token];
    for (const other of all) {
      const line = row(other, same(other, token));
      if (take && !same(other, token) && takeable(other)) {
        line.classList.add("takeable");
        line.title = t("take");
        line.addEventListener("click", () => take(other));
      }
      list.append(line);
    }
    const left = 1 - all.reduce((sum, other) => sum + Math.exp(other.logprob), 0);
    if (left > 0.005) list.append(node("li", { class: "rest" }, node("span", { class: "what", text: t("rest") }), node("span", { class: "bar" }), node("span", { class: "much", text: percent(left) })));
    return list;
  }

  let shownAt = 0; // scroll position of the conversation when the card was shown

  // show places the card below the token, or above it if there is no room below.
  function show(span, found, take) {
    card.replaceChildren(node("p", { class: "card-title", text: found.tokens.length > 1 ? t("joint", { n: found.tokens.length }) : t("instead") }));
    for (const token of found.tokens) card.append(table(token, take && found.tokens.length === 1 && take));
    card.classList.toggle("pinned", document.activeElement === span); // otherwise the mouse is only passing over the token
    card.hidden = false;
    shownAt = scroll.scrollTop;
    const at = span.getClientRects()[0] ?? span.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = card;
    const below = at.bottom + 6 + height < innerHeight;
    card.style.left = `${Math.max(8, Math.min(at.left - 12, innerWidth - width - 8))}px`;
    card.style.top = `${Math.max(8, below ? at.bottom + 6 : at.top - height - 6)}px`;
    span.setAttribute("aria-describedby", card.id);
  }

  function hide() {
    card.hidden = true;
  }

  // view returns the node of an answer as tokens. stats: {tokens, perSecond} or nothing. The function take, if given, gets the place
  // of a token and the alternative that the person chooses: by a click on it, or by typing its number while the token has the focus.
  function view(tokens, stats, take) {
    const groups = group(tokens);
    const taking = (found) => take && ((other) => { hide(); take(tokens.indexOf(found.tokens[0]), other); });
    const body = node("div", { class: "tokens", role: "group", "aria-label": t("ofTokens") });
    const spans = groups.map((found, i) => {
      const newline = /\n/.test(found.text);
      const span = node("span", { class: `token level-${level(found.p)}${newline ? " line" : ""}`, text: found.text || "·", role: "button", tabindex: i ? "-1" : "0",
        "aria-label": `${found.tokens.length > 1 ? found.text : visible(found.tokens[0])} ${percent(found.p)}` });
      body.append(span);
      return span;
    });
    let shut = false; // the card was closed by Escape, until a token is chosen again
    const at = (event) => spans.indexOf(event.target.closest(".token"));
    const on = (event) => { const i = at(event); if (i >= 0) show(spans[i], groups[i], taking(groups[i])); };
    body.addEventListener("pointerover", (event) => event.pointerType === "mouse" && on(event));
    body.addEventListener("pointerleave", (event) => {
      const focused = spans.indexOf(document.activeElement);
      if (event.pointerType !== "mouse") return;
      if (focused >= 0 && !shut) show(spans[focused], groups[focused], taking(groups[focused]));
      else hide();
    });
    const choose = (event) => { shut = false; on(event); };
    body.addEventListener("click", choose);
    body.addEventListener("focusin", choose);
    body.addEventListener("focusout", hide);
    body.addEventListener("keydown", (event) => {
      const to = { ArrowRight: at(event) + 1, ArrowLeft: at(event) - 1, Home: 0, End: spans.length - 1 }[event.key];
      if (event.key === "Escape" && !card.hidden) { shut = true; hide(); event.stopPropagation(); }
      const found = groups[at(event)];
      const alone = !event.ctrlKey && !event.metaKey && !event.altKey;
      const other = take && alone && found?.tokens.length === 1 && found.tokens[0].top_logprobs?.[Number(event.key) - 1];
      if (other && takeable(other) && !same(other, found.tokens[0])) taking(found)(other);
      if (to === undefined || !spans[to]) return;
      event.preventDefault();
      for (const span of spans) span.tabIndex = -1;
      spans[to].tabIndex = 0;
      spans[to].focus();
    });
    return node("div", { class: "odds" }, legend(tokens, stats), body);
  }

  function legend(tokens, stats) {
    const scale = node("span", { class: "scale" }, node("span", { text: t("guess") }));
    for (let i = 0; i <= LEVELS.length; i++) scale.append(node("i", { class: `level-${i}` }));
    scale.append(node("span", { text: t("sure") }));
    const mean = Math.exp(tokens.reduce((sum, token) => sum + token.logprob, 0) / Math.max(1, tokens.length)); // the geometric mean
    const facts = [words.count("tokens", tokens.length), t("onAverage", { n: percent(mean) })];
    if (stats?.perSecond) facts.push(t("perSecond", { n: number(Math.round(stats.perSecond)) }));
    return node("p", { class: "legend" }, scale, node("span", { class: "facts", text: facts.join(" · ") }));
  }

  scroll.addEventListener("scroll", () => { if (Math.abs(scroll.scrollTop - shownAt) > 4) hide(); }, { passive: true });
  card.addEventListener("mousedown", (event) => event.preventDefault()); // so that the token keeps the focus and the card stays open
  document.addEventListener("pointerdown", (event) => { if (!event.target.closest(".token, .odds-card")) hide(); });

  minitron.odds = { view, group };
})();
