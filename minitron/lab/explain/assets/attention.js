// Attention: small maps of all heads, the map of one head, and the tokens of a text coloured by their weight for a chosen token.
"use strict";
(() => {
  const { words, pieces: { named, piece, percent, later, fresh }, text: { node } } = minitron;
  const { t } = words;
  const $ = (id) => document.getElementById(id);
  const OTHERS = 4; // tokens with the largest weights that are named in words

  let tokens = [], layers = []; // [{kind, window, weights: [Uint8Array of T·T]}]
  let layer = 0, head = 0, token = 0; // what the person chose

  const quoted = (each) => t("quoted", { x: named(each) });
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

  const read = fresh(async (current) => {
    const found = await minitron.tries.tokensOf($("look-text").value, true);
    const attended = found.length ? await minitron.engine.explain({ do: "attention", ids: found.map(({ id }) => id) }) : [];
    if (!current()) return;
    tokens = found;
    layers = attended.map((each) => ({ ...each, weights: each.weights.map(bytes) }));
    token = Math.max(0, tokens.length - 1);
    if (!layers[layer]?.weights[head]) {
      layer = Math.max(0, layers.findIndex(({ weights }) => weights.length));
      head = 0;
    }
    show();
  }, (why) => { tokens = layers = []; show(); $("look-told").textContent = why; });

  // draw paints weights on a canvas, `cell` pixels for each token. Opacity is the square root of a weight, so that small ones show.
  function draw(canvas, weights, cell) {
    const size = tokens.length;
    canvas.width = canvas.height = Math.max(1, size * cell);
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    pen.fillStyle = style.getPropertyValue("--raised");
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.fillStyle = style.getPropertyValue("--accent");
    for (let row = 0; row < size; row++) {
      for (let column = 0; column <= row; column++) {
        pen.globalAlpha = Math.sqrt((weights?.[row * size + column] ?? 0) / 255);
        pen.fillRect(column * cell, row * cell, cell, cell);
      }
    }
  }

  function show() {
    $("look-heads").replaceChildren(...layers.map((each, l) => node("div", { class: "layer" }, ...(each.weights.length ? each.weights.map((weights, h) => thumbnail(weights, l, h))
      : [node("p", { class: "told", text: t("lookNone", { layer: l + 1, kind: each.kind }) })]))));
    showHead();
  }

  function thumbnail(weights, l, h) {
    const canvas = node("canvas", { "aria-hidden": "true" });
    const button = node("button", { type: "button", "aria-pressed": String(l === layer && h === head) }, canvas);
    words.name(button, t("lookHead", { layer: l + 1, head: h + 1 }));
    draw(canvas, weights, 2);
    button.addEventListener("click", () => {
      [layer, head] = [l, h];
      for (const each of $("look-heads").querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === button));
      showHead();
    });
    return button;
  }

  function showHead() {
    const weights = layers[layer]?.weights[head];
    for (const id of ["look-which", "look-told"]) $(id).textContent = "";
    $("look-map").hidden = !weights;
    $("look-pieces").replaceChildren();
    if (!weights) return;
    const { window } = layers[layer];
    $("look-which").textContent = t("lookHead", { layer: layer + 1, head: head + 1 }) + (window ? t("lookWindow", { tokens: words.count("tokens", window) }) : "");
    draw($("look-map"), weights, Math.max(2, Math.min(16, Math.floor(480 / tokens.length))));
    words.name($("look-map"), t("lookMap"));
    const buttons = tokens.map((each, at) => {
      const button = piece(each, at, "button", { type: "button", "aria-pressed": "false" });
      button.addEventListener("click", () => choose(buttons, weights, at));
      return button;
    });
    $("look-pieces").append(...buttons);
    choose(buttons, weights, token);
  }

  // choose colours all tokens by the attention weights of the token at `at`.
  function choose(buttons, weights, at) {
    token = at;
    const row = Array.from(weights.subarray(at * tokens.length, (at + 1) * tokens.length));
    buttons.forEach((button, i) => {
      button.style.setProperty("--much", `${Math.round(100 * Math.sqrt(row[i] / 255))}%`);
      button.setAttribute("aria-pressed", String(i === at));
    });
    const most = row.map((weight, i) => ({ weight, i })).filter(({ weight }) => weight).sort((a, b) => b.weight - a.weight).slice(0, OTHERS);
    const others = most.map(({ weight, i }) => `${quoted(tokens[i])} ${percent(weight / 255)}`).join(", ");
    $("look-told").textContent = t("lookTold", { token: quoted(tokens[at]), others });
  }

  function start(question) {
    $("look-text").value ||= question;
    $("look-text").addEventListener("input", later(read, 250));
  }

  minitron.attention = { start, show: read, repaint: show, get found() { return { tokens, layers }; } };
})();
