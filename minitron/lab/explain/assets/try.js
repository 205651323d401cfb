// Two chapters to try out: how a text becomes tokens, and what could come next.
"use strict";
(() => {
  const { words, pieces: { textOf, shown, named, piece, percent, later, fresh }, text: { node } } = minitron;
  const { t, number, count } = words;
  const $ = (id) => document.getElementById(id);
  const TOP = 12; // how many likely tokens are listed
  const MORE = 24; // how many tokens are added when the person lets the model go on

  // tokensOf returns a promise of the tokens of a text; with `asked`, they include the markers that ask for an answer.
  const tokensOf = (text, asked) => minitron.engine.explain({ do: "tokens", text, chat: asked });

  const showTokens = fresh(async (current) => {
    const text = $("tokens-text").value;
    const tokens = await tokensOf(text, $("tokens-chat").checked);
    if (!current()) return;
    $("tokens-pieces").replaceChildren(...tokens.map((token, at) => piece(token, at)));
    const characters = Array.from(text).length;
    const values = { tokens: count("tokens", tokens.length), characters: count("characters", characters), bytes: count("bytes", new TextEncoder().encode(text).length) };
    const ratio = count("characters", Math.round((10 * characters) / tokens.length) / 10);
    $("tokens-told").textContent = tokens.length ? t("tokensTold", { ...values, ratio }) : "";
  }, (why) => { $("tokens-pieces").replaceChildren(); $("tokens-told").textContent = why; });

  // --- what comes next
  let prompt = [], path = [], likely = []; // the tokens of the prompt, those taken after it, and those likely to follow
  let steps = 0; // how many computations of what is likely are under way: until they end, `likely` is of an earlier place
  let acts = 0; // how often the person did something; the model that goes on by itself stops then
  let going = false; // whether the model goes on by itself

  const ids = () => [...prompt, ...path].map(({ id }) => id);

  const step = fresh(async (current) => {
    steps++;
    try {
      const found = over() ? { top: [] } : await minitron.engine.explain({ do: "next", ids: ids(), top: TOP });
      if (current()) show(found);
    } finally {
      steps--;
    }
  }, clear);

  // take adds a token; back keeps only the first `to` of the taken tokens.
  function take(token) {
    if (steps) return; // the token was likely at an earlier place
    acts++;
    path.push(token);
    step();
  }

  function back(to) {
    acts++;
    path.length = Math.max(0, to);
    step();
  }

  const over = () => path.at(-1)?.end || prompt.length + path.length >= minitron.context;

  function show({ top, entropy }) {
    likely = top;
    const ended = over();
    const made = path.map((token, at) => piece(token, at, "button", { type: "button" }));
    made.forEach((button, at) => button.addEventListener("click", () => back(at + 1)));
    $("next-path").replaceChildren(...(made.length ? made : [node("span", { class: "empty", text: t("nextEmpty") })]));
    const doubt = () => t("nextTold", { bits: number(entropy, { maximumFractionDigits: 2 }), among: number(2 ** entropy, { maximumFractionDigits: 1 }) });
    $("next-told").textContent = path.at(-1)?.end ? t("nextEnd") : ended ? t("nextFull") : doubt();
    $("next-odds").replaceChildren(...(ended ? [] : top.map(row)));
    $("next-go").disabled = ended || going;
    $("next-back").disabled = $("next-reset").disabled = !path.length;
  }

  function row(token) {
    const p = Math.exp(token.logprob);
    const bar = node("span", { class: "bar" }, node("i"));
    bar.firstChild.style.width = `${100 * p}%`;
    const parts = [node("span", { class: "what", text: token.end ? t("end") : named(token) }), bar, node("span", { class: "much", text: percent(p) })];
    if (token.never) return node("li", {}, node("span", { class: "odds-row" }, ...parts));
    const button = node("button", { type: "button", class: "odds-row", "data-id": token.id }, ...parts);
    button.addEventListener("click", () => take(token));
    return node("li", {}, button);
  }

  const begin = fresh(async (current) => {
    acts++;
    const given = await tokensOf($("next-text").value, true);
    if (!current()) return;
    [prompt, path] = [given, []];
    if (prompt.length) await step();
    else clear("");
  }, clear);

  // clear leaves nothing of what was shown but a sentence.
  function clear(why) {
    [prompt, path, likely] = [[], [], []];
    for (const part of ["odds", "path"]) $(`next-${part}`).replaceChildren();
    for (const button of ["go", "back", "reset"]) $(`next-${button}`).disabled = true;
    $("next-told").textContent = why;
  }

  async function goOn() {
    if (going || steps) return;
    going = true;
    const mine = ++acts;
    for (let n = 0; n < MORE && !over(); n++) {
      const best = likely.find(({ never }) => !never);
      if (!best) break;
      path.push(best);
      await step();
      if (mine !== acts) break;
    }
    going = false;
    $("next-go").disabled = Boolean(over());
  }

  function start(question) {
    $("tokens-text").value ||= question;
    $("next-text").value ||= question;
    $("tokens-text").addEventListener("input", later(showTokens, 60));
    $("tokens-chat").addEventListener("change", showTokens);
    $("next-text").addEventListener("input", later(begin, 200));
    $("next-go").addEventListener("click", goOn);
    $("next-back").addEventListener("click", () => back(path.length - 1));
    $("next-reset").addEventListener("click", () => back(0));
  }

  minitron.tries = { start, tokensOf, show() { showTokens(); begin(); }, textOf, shown };
})();
