// Curves, drawn as SVG, and bars, made of elements, in the page's own colours.
"use strict";
(() => {
  const { words, text: { node } } = minitron;
  const SPACE = "http://www.w3.org/2000/svg";
  const WIDTH = 560, HEIGHT = 220, LEFT = 54, RIGHT = 10, TOP = 10, BOTTOM = 26;

  function svg(tag, attributes, text) {
    const element = document.createElementNS(SPACE, tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  }

  // ticks returns about four round numbers from low to high, at least `least` apart.
  function ticks(low, high, least = 0) {
    const rough = (high - low) / 4 || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = Math.max(least, [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough));
    const found = [];
    for (let n = Math.ceil(low / step); n * step <= high + step / 1e6; n++) found.push(Number((n * step).toPrecision(10)));
    return found;
  }

  // powers returns 1, 2 and 5 times the powers of ten, from low to high.
  function powers(low, high) {
    const found = [];
    for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10) found.push(...[1, 2, 5].map((n) => Number((n * power).toPrecision(3))));
    return found.filter((value) => value >= low && value <= high);
  }

  // curves returns a figure of lines, or null without points. series: [{name, points: [[step, value], …]}]; one without points is left
  // out. If the values span more than a factor of ten, the scale is logarithmic: a falling curve would otherwise end as a flat line.
  function curves(title, series, unit) {
    const lines = series.filter(({ points }) => points?.length);
    if (!lines.length) return null;
    const all = lines.flatMap(({ points }) => points);
    const [left, right] = [Math.min(...all.map(([x]) => x)), Math.max(...all.map(([x]) => x))];
    let [low, high] = [Math.min(...all.map(([, y]) => y)), Math.max(...all.map(([, y]) => y))];
    if (high - low < 1e-9) [low, high] = [low - 0.5, high + 0.5];
    const x = (value) => LEFT + ((value - left) / (right - left || 1)) * (WIDTH - LEFT - RIGHT);
    const log = low > 0 && high > 10 * low;
    const scale = log ? Math.log : (value) => value;
    const y = (value) => HEIGHT - BOTTOM - ((scale(value) - scale(low)) / (scale(high) - scale(low))) * (HEIGHT - TOP - BOTTOM);
    const number = (value, digits = 6) => words.number(value, { maximumSignificantDigits: digits }); // not decimals, as some values are tiny
    const told = lines.map(({ name, points }) => `${name}: ${number(points[0][1], 4)} → ${number(points.at(-1)[1], 4)}`).join("; ");
    const picture = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}. ${told}` });
    for (const value of log ? powers(low, high) : ticks(low, high)) {
      picture.append(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }));
      picture.append(svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, number(value)));
    }
    for (const value of ticks(left, right, 1)) picture.append(svg("text", { x: x(value), y: HEIGHT - 8, "text-anchor": "middle" }, number(value)));
    lines.forEach(({ points }, i) => {
      const style = { class: `curve curve-${i}` };
      const [[cx, cy], ...more] = points.map(([a, b]) => [x(a).toFixed(1), y(b).toFixed(1)]);
      picture.append(more.length ? svg("polyline", { ...style, points: [[cx, cy], ...more].join(" ") }) : svg("circle", { ...style, cx, cy, r: 2 }));
    });
    const key = node("span", { class: "key" }, ...lines.map(({ name }, i) => node("span", {}, node("i", { class: `curve-${i}` }), name)), node("span", { text: [unit, ...(log ? [words.t("logScale")] : []), words.t("steps")].join(" · ") }));
    return node("figure", {}, node("figcaption", { text: title }), picture, key);
  }

  // bars returns a list of named shares. rows: [{name, share, text}].
  function bars(rows) {
    return node("ul", { class: "bars" }, ...rows.map(({ name, share, text }) => {
      const bar = node("span", { class: "bar" }, node("i"));
      bar.firstChild.style.width = `${Math.min(100, 100 * share)}%`;
      return node("li", {}, node("span", { class: "what", text: name }), bar, node("span", { class: "much", text }));
    }));
  }

  // table returns a table of texts, which scrolls sideways on its own on a phone.
  function table(heads, rows) {
    const head = heads.some(Boolean) ? [node("thead", {}, node("tr", {}, ...heads.map((text) => (text ? node("th", { scope: "col", text }) : node("td")))))] : [];
    const body = node("tbody", {}, ...rows.map((cells) => node("tr", {}, ...cells.map((text) => node("td", { text, dir: "auto" })))));
    return node("div", { class: "wide", tabindex: "0", role: "region", "aria-label": heads.filter(Boolean).join(", ") || rows[0].join(" ") }, node("table", {}, ...head, body));
  }

  minitron.charts = { curves, bars, table };
})();
