// The training dialogues nearest to a question: cosine of TF-IDF vectors of three letters in a row (Salton and Buckley 1988), over the
// questions in this file. An equal text has similarity 1 in any language, and different endings of words matter little.
"use strict";
(() => {
  const { words, told, pieces: { percent, later, fresh }, text: { node } } = minitron;
  const { t, number } = words;
  const $ = (id) => document.getElementById(id);
  const SHOWN = 6;

  // grams counts the groups of three letters in a text; words begin and end with a space. In a text without letters, such as a smiley,
  // all its signs are letters.
  function grams(text) {
    const counts = new Map();
    const plain = text.normalize("NFKC").toLowerCase().replaceAll("ё", "е");
    for (const word of plain.match(/[\p{L}\p{M}\p{N}]+/gu) ?? plain.match(/\S+/gu) ?? []) {
      const letters = [" ", ...word, " "];
      for (let i = 0; i + 2 < letters.length; i++) {
        const gram = letters[i] + letters[i + 1] + letters[i + 2];
        counts.set(gram, (counts.get(gram) ?? 0) + 1);
      }
    }
    return counts;
  }

  const weight = (count, idf) => (1 + Math.log(count)) * idf;

  // index makes an index of dialogues [[system, question, answer, …], …]. It pauses now and then, so that the page stays responsive.
  async function index(dialogues) {
    const questions = dialogues.flatMap((turns, dialogue) => turns.flatMap((text, turn) => (turn % 2 ? [{ dialogue, turn, text }] : [])));
    const postings = new Map(); // gram -> [question, count, question, count, …]
    for (let n = 0; n < questions.length; n++) {
      for (const [gram, count] of grams(questions[n].text)) {
        if (postings.has(gram)) postings.get(gram).push(n, count);
        else postings.set(gram, [n, count]);
      }
      if (n % 1000 === 999) await new Promise((resolve) => setTimeout(resolve));
    }
    const idf = (gram) => Math.log(1 + questions.length / ((postings.get(gram)?.length ?? 0) / 2));
    const norms = new Float64Array(questions.length);
    for (const [gram, list] of postings) {
      const rare = idf(gram);
      for (let i = 0; i < list.length; i += 2) norms[list[i]] += weight(list[i + 1], rare) ** 2;
    }
    // nearest returns [{dialogue, turn, text, similarity}], the nearest first, at most one per dialogue; an equal text precedes ties.
    return {
      questions,
      nearest(text, most) {
        const scores = new Float64Array(questions.length);
        let norm = 0;
        for (const [gram, count] of grams(text)) {
          const list = postings.get(gram);
          const rare = list ? idf(gram) : Math.log(1 + questions.length); // in no question: the largest weight
          const mine = weight(count, rare);
          norm += mine ** 2;
          for (let i = 0; i < (list?.length ?? 0); i += 2) scores[list[i]] += mine * weight(list[i + 1], rare);
        }
        const found = [];
        scores.forEach((score, n) => { if (score > 0) found.push({ ...questions[n], similarity: score / Math.sqrt(norm * norms[n]) }); });
        const same = (one) => Number(one.text === text);
        found.sort((a, b) => (Math.abs(b.similarity - a.similarity) > 1e-9 ? b.similarity - a.similarity : same(b) - same(a)));
        const once = new Set();
        return found.filter(({ dialogue }) => !once.has(dialogue) && once.add(dialogue)).slice(0, most);
      },
    };
  }

  let made; // a promise of {all, dialogues, index}
  const load = () => (made ??= (async () => {
    const packed = Uint8Array.from(atob($("minitron-dialogues").textContent), (c) => c.charCodeAt(0));
    const { all, dialogues } = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
    return { all, dialogues, index: await index(dialogues) };
  })());

  const find = fresh(async (current) => {
    const { all, dialogues, index: found } = await load();
    const text = $("nearest-text").value;
    if (!current()) return;
    const near = found.nearest(text, SHOWN);
    $("nearest-answer").replaceChildren();
    const counts = { count: number(found.questions.length), here: number(dialogues.length), all: number(all) };
    const how = `${t("nearestHow")} ${t("nearestTold", counts)}`;
    $("nearest-told").textContent = !all ? t("nearestEmpty") : near.length || !text.trim() ? how : `${t("nearestNone")} ${how}`;
    $("nearest-found").replaceChildren(...near.map((one) => shown(dialogues[one.dialogue], one)));
  }, (why) => { $("nearest-told").textContent = why; });

  function shown(turns, { turn, similarity }) {
    const said = turns.flatMap((text, i) => {
      if (!text) return [];
      const role = i ? (i % 2 ? "user" : "assistant") : "system";
      const who = told.base ? [] : [node("span", { class: "role", text: role })];
      return [node("p", { class: `turn ${role}${i === turn ? " found" : ""}`, dir: "auto" }, ...who, text)];
    });
    return node("div", { class: "box" }, node("p", { class: "box-name", text: t("similar", { n: percent(similarity) }) }), ...said);
  }

  const askModel = fresh(async (current) => {
    const place = $("nearest-answer");
    let answer = "";
    const request = { messages: [{ role: "user", content: $("nearest-text").value }], temperature: 0, max_tokens: 120, stream: true };
    await minitron.engine.chat(request, { onChunk(chunk) {
      answer += chunk.choices?.[0]?.delta?.content ?? "";
      if (current()) place.replaceChildren(told.box(t("nearestSays", { name: told.name }), answer));
    } });
  }, (why) => $("nearest-answer").replaceChildren(node("p", { class: "told", text: why })));

  // start loads the index when the chapter is about to be scrolled into view, since making it takes a moment.
  function start(question) {
    $("nearest-text").value ||= question;
    $("nearest-text").addEventListener("input", later(find, 150));
    $("nearest-ask").addEventListener("click", askModel);
    new IntersectionObserver((seen, observer) => {
      if (!seen.some(({ isIntersecting }) => isIntersecting)) return;
      observer.disconnect();
      find();
    }, { rootMargin: "400px" }).observe($("nearest"));
  }

  minitron.nearest = { start, show: () => made && find(), index };
})();
