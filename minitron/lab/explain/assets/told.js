// The chapters made from the run's files: data, training, alignment, failures, the card. Whatever is in the files becomes text nodes only.
"use strict";
(() => {
  const { words, text: { node }, markdown: { writer }, charts: { curves, bars, table }, pieces: { percent } } = minitron;
  const { t, number } = words;
  const told = JSON.parse(document.getElementById("minitron-told").textContent);
  const $ = (id) => document.getElementById(id);
  const note = (key, values) => node("p", { class: "told", text: t(key, values) });
  const heading = (text) => node("h3", { text });

  // box returns a text with a name above it, such as an answer; fails are the kinds of failures in the text.
  function box(name, text, fails = []) {
    const marks = fails.map((fail) => node("b", { class: "fail", text: ` ${fail}` }));
    return node("div", { class: "box" }, node("p", { class: "box-name", text: name }, ...marks), node("p", { class: "box-text", text, dir: "auto" }));
  }
  const boxes = (...made) => node("div", { class: "boxes" }, ...made);

  function dialogue(row) {
    const scores = Object.entries(row.scores ?? {}).map(([name, score]) => `${name} ${score ?? "–"}`).join(" · ");
    const said = row.messages.map(({ role, content }) => node("p", { class: `turn ${role}`, dir: "auto" }, node("span", { class: "role", text: role }), content));
    return node("div", { class: "box" }, node("p", { class: "box-name", text: [row.source, scores].filter(Boolean).join(" · ") }), ...said, ...(row.raw ? [node("p", { class: "box-text", text: row.raw })] : []));
  }

  function fold(summary, ...children) {
    return node("details", {}, node("summary", { text: summary }), ...children);
  }

  function read() {
    const { report, sources, kept, dropped } = told.data;
    const parts = [];
    if (told.base) parts.push(note("readBase", { chapter: t("nearestTitle") }));
    else if (!report.rows_in) parts.push(note("readNothing"));
    if (sources.length) parts.push(heading(t("sources")), table([t("source"), t("licence"), t("address")], sources.map((s) => [s.name, s.licence, s.address])));
    if (report.rows_in) {
      const whole = Math.max(1, report.rows_in);
      const counts = [["kept", report.kept], ...Object.entries(report.dropped ?? {})];
      const rows = counts.map(([name, n]) => ({ name: name === "kept" ? t("kept") : name, share: n / whole, text: `${number(n)} · ${percent(n / whole)}` }));
      const values = Object.fromEntries(["kept", "train", "valid", "probes"].map((key) => [key, number(report[key] ?? 0)]));
      parts.push(note("readRows", { rows: number(report.rows_in), ...values }), heading(t("became")), bars(rows));
    }
    if (kept.length) parts.push(heading(t("examplesKept")), boxes(...kept.map(dialogue)));
    parts.push(...dropped.map(({ reason, rows }) => fold(t("examplesDropped", { reason }), boxes(...rows.map(dialogue)))));
    $("read-body").replaceChildren(...parts);
  }

  // samples shows what the model said to the same prompts during training, with a slider from the first moment to the last.
  function samples(stage, moments) {
    const caption = node("p", { class: "asked" });
    const slider = node("input", { type: "range", min: 0, max: moments.length - 1, value: moments.length - 1, "aria-label": t("samplesMove") });
    const said = node("div");
    const show = () => {
      const { step, said: answers } = moments[slider.value];
      caption.textContent = t("samplesAt", { n: number(step) });
      slider.style.setProperty("--part", `${(100 * slider.value) / Math.max(1, moments.length - 1)}%`);
      slider.setAttribute("aria-valuetext", t("step", { n: number(step) }));
      said.replaceChildren(...answers.map(({ prompt, text }) => boxes(box(t("asked"), prompt), box(t("step", { n: number(step) }), text))));
    };
    slider.addEventListener("input", show);
    show();
    return node("div", { class: "samples", "data-stage": stage }, caption, node("p", { class: "slider" }, slider), said);
  }

  function training() {
    const parts = [];
    for (const stage of ["pretrain", "sft"]) {
      const { curves: found, samples: moments } = told.training[stage];
      const figure = curves(t(`stage_${stage}`), [{ name: t("lossTrain"), points: found.loss }, { name: t("lossValid"), points: found.valid_loss }], t("unitLoss"));
      if (figure) parts.push(figure);
      if (moments.length) parts.push(samples(stage, moments));
    }
    $("training-body").replaceChildren(...(parts.length ? parts : [note("trainingNone")]));
  }

  const models = () => Object.values(told.report.models ?? {});
  const accuracy = (model) => model.probes?.accuracy;

  function aligned() {
    const all = models();
    if (all.length < 2) return $("aligned-body").replaceChildren(note("alignedNone"));
    const [first, last] = [all[0], all.at(-1)];
    const parts = [];
    const outcome = told.aligned.outcome;
    if (outcome) parts.push(node("p", { class: "told", text: t("verdict", { outcome: outcome === "improved" ? t("outcome_improved") : outcome }) + (told.aligned.why ? ` ${told.aligned.why}` : "") }));
    const decimals = (value) => number(value, { minimumFractionDigits: 4, maximumFractionDigits: 4 });
    const rows = [["heldOut", "loss", decimals], ["bitsPerByte", "bits_per_byte", decimals]]
      .filter(([, key]) => first[key] != null && last[key] != null)
      .map(([name, key, show]) => [t(name), show(first[key]), show(last[key])]);
    if (accuracy(first) != null) rows.push([t("probesRight"), percent(accuracy(first)), percent(accuracy(last))]);
    for (const rate of ["failing", "loop", "runaway", "canned", "ended"]) {
      const values = [first, last].map((model) => model.failures?.all?.[rate]);
      if (values.every((value) => value != null)) rows.push([t(`rate_${rate}`), ...values.map(percent)]);
    }
    parts.push(table([t("measure"), t("before"), t("after")], rows));
    const found = told.aligned.curves;
    parts.push(...[
      curves(t("heldOut"), [{ name: t("lossValid"), points: found.valid_loss }], t("unitLoss")),
      curves(t("ratios"), [{ name: t("chosen"), points: found.chosen_log_ratio }, { name: t("rejected"), points: found.rejected_log_ratio }], t("unitLoss")),
      curves(t("rawZ"), [{ name: "raw z", points: found.raw_z }], t("unitLoss")),
    ].filter(Boolean));
    for (const [way, { samples: after = [] }] of Object.entries(last.failures ?? {})) {
      const before = first.failures?.[way]?.samples ?? [];
      if (after.length) parts.push(fold(t("way", { name: way }), ...after.map((one, i) => boxes(
        box(t("asked"), one.prompt), ...(before[i] ? [box(t("before"), before[i].answer, before[i].failures)] : []), box(t("after"), one.answer, one.failures), box(t("wanted"), one.reference)))));
    }
    return $("aligned-body").replaceChildren(...parts);
  }

  // rule returns in words what a probe checks.
  function rule(check) {
    const names = { all: "checkAll", any: "checkAny", none: "checkNone", equals: "checkEquals" };
    const rules = typeof check === "string" ? JSON.parse(check) : check;
    return Object.entries(rules).map(([kind, x]) => t(names[kind] ?? kind, { x: [x].flat().join(" | ") })).join("; ");
  }

  function fails() {
    const last = models().at(-1);
    const parts = [];
    const rates = ["loop", "runaway", "canned"].filter((rate) => last?.failures?.all?.[rate] != null);
    if (rates.length) parts.push(bars(rates.map((rate) => ({ name: t(`rate_${rate}`), share: last.failures.all[rate], text: percent(last.failures.all[rate]) }))));
    const skills = Object.entries(last?.probes?.skills ?? {}).sort(([, a], [, b]) => a.accuracy - b.accuracy).slice(0, 10);
    if (skills.length) parts.push(heading(t("weakest")), bars(skills.map(([name, skill]) => ({ name, share: skill.accuracy, text: `${percent(skill.accuracy)} · ${number(skill.asked)}` }))));
    const wrong = last?.probes?.wrong ?? [];
    if (wrong.length) parts.push(heading(t("wrong")), table([t("skill"), t("asked"), t("answer"), t("rule")], wrong.map((one) => [one.skill, one.question, one.answer, rule(one.check)])));
    for (const { prompt, reference, answer } of last?.continuations ?? []) parts.push(boxes(box(t("asked"), prompt), box(t("wanted"), reference), box(told.name, answer)));
    $("fails-body").replaceChildren(...(parts.length ? parts : [note("failsNone")]));
  }

  // card shows the Markdown of the model card: tables as tables of this page, the rest as an answer is shown in the chat.
  function card() {
    const unescaped = (text) => text.replace(/\\([\\`*_[\]<>#|])/g, "$1");
    const parts = [];
    for (const block of told.card.split(/\n(?=\|)(?<!\|\n)|(?<=\|)\n(?!\|)/)) {
      if (block.startsWith("|")) {
        const rows = block.split("\n").filter((line) => !/^[|\s-]+$/.test(line)).map((line) => line.slice(1, -1).split(/(?<!\\)\|/).map((cell) => unescaped(cell.trim())));
        const head = /^[|\s]*$/.test(block.split("\n")[0]) ? rows[0].map(() => "") : rows[0];
        parts.push(table(head, head === rows[0] ? rows.slice(1) : rows));
      } else {
        const text = node("div", { class: "text" });
        writer(text)(unescaped(block));
        parts.push(text);
      }
    }
    $("card-body").replaceChildren(...parts);
  }

  minitron.told = { ...told, box, show() { read(); training(); aligned(); fails(); card(); } };
})();
