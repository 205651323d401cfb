// Tokens on the screen: what cannot be seen has a name, a half of a character its bytes.
"use strict";
(() => {
  const { words, text: { node } } = minitron;

  const textOf = (token) => new TextDecoder().decode(Uint8Array.from(token.bytes ?? []));

  // shown is how a token stands in a row of tokens: spaces as ␣, line ends as ↵, bytes of half a character in hex.
  function shown(token) {
    if (!token.bytes) return token.token;
    const text = textOf(token);
    if (text.includes("\uFFFD")) return token.bytes.map((b) => b.toString(16).toUpperCase().padStart(2, "0")).join(" ");
    return text.replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥") || "∅";
  }

  // named is the same for a sentence.
  const named = (token) => (token.bytes ? shown(token) : words.t("marker", { name: token.token }));

  // piece is a token as an element; colours change from one to the next, so that borders are seen.
  function piece(token, at, tag = "span", attributes = {}) {
    const style = `piece ${token.bytes ? `tone-${at % 5}` : "tone-marker"}`;
    const title = words.t("pieceTold", { id: token.id, text: named(token) });
    return node(tag, { class: style, title, ...attributes }, node("b", { text: shown(token) }), node("i", { text: token.id }));
  }

  const percent = (p) => (p > 0 && p < 0.001 ? "< " : "") + words.number(Math.max(p, p > 0 ? 0.001 : 0), { style: "percent", maximumFractionDigits: p > 0.0999 ? 0 : 1 });

  // later calls `act` once nothing has been typed for a while.
  function later(act, ms) {
    let timer;
    return () => { clearTimeout(timer); timer = setTimeout(act, ms); };
  }

  // fresh runs one asynchronous act at a time: what came late of an earlier call is dropped.
  function fresh(act) {
    let last = 0;
    return async (...values) => {
      const mine = ++last;
      try {
        await act(() => mine === last, ...values);
      } catch (error) {
        if (mine === last) minitron.trouble(error);
      }
    };
  }

  minitron.pieces = { textOf, shown, named, piece, percent, later, fresh };
})();
