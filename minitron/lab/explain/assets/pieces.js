// Tokens on the screen: invisible characters get a visible sign, parts of characters are shown as bytes.
"use strict";
(() => {
  const { words, text: { node } } = minitron;

  const textOf = (token) => new TextDecoder().decode(Uint8Array.from(token.bytes ?? []));

  // shown returns a token as it looks in a row of tokens: spaces as ␣, line ends as ↵, parts of characters as bytes in hex.
  function shown(token) {
    if (!token.bytes) return token.token;
    const text = textOf(token);
    if (text.includes("\uFFFD")) return token.bytes.map((b) => b.toString(16).toUpperCase().padStart(2, "0")).join(" ");
    return text.replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥") || "∅";
  }

  // named returns the same for use in a sentence, where a marker is called a marker.
  const named = (token) => (token.bytes ? shown(token) : words.t("marker", { name: token.token }));

  // piece returns a token as an element. Neighbours have different colours, so that the borders are visible.
  function piece(token, at, tag = "span", attributes = {}) {
    const style = `piece ${token.bytes ? `tone-${at % 5}` : "tone-marker"}`;
    const title = words.t("pieceTold", { id: token.id, text: named(token) });
    return node(tag, { class: style, title, ...attributes }, node("b", { text: shown(token) }), node("i", { text: token.id }));
  }

  const percent = (p) => (p > 0 && p < 0.001 ? "< " : "") + words.number(Math.max(p, p > 0 ? 0.001 : 0), { style: "percent", maximumFractionDigits: p > 0.0999 ? 0 : 1 });

  // later returns a function that calls `act` when it has not been called itself for `ms` milliseconds.
  function later(act, ms) {
    let timer;
    return () => { clearTimeout(timer); timer = setTimeout(act, ms); };
  }

  // fresh makes repeated calls of an asynchronous act safe: act gets current(), which is false once a newer call has begun, so that it
  // can drop a late result. If the newest call fails, failed gets a sentence that says why, and puts it in place of an earlier result.
  function fresh(act, failed) {
    let last = 0;
    return async (...values) => {
      const mine = ++last;
      try {
        await act(() => mine === last, ...values);
      } catch (error) {
        if (mine === last) failed(error.code === "context_length_exceeded" ? words.t("tooLongHere") : error.message);
      }
    };
  }

  minitron.pieces = { textOf, shown, named, piece, percent, later, fresh };
})();
