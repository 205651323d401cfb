// minitron.start(engine) starts the page that explains a model. The chapters made from the run's files are there at once; those to try
// out wait for the engine, which is worker-engine.js with its function explain.
"use strict";
(() => {
  const { words, look, frame, told, tries, attention, nearest, text: { node } } = minitron;
  const { t } = words;
  const $ = (id) => document.getElementById(id);
  const chapters = ["read", "tokens", "next", "look", "nearest", "training", "aligned", "fails", "card"];
  const themes = () => t("theme", { name: t(look.theme) });
  let ready = false;

  function show() {
    words.fill(document.body);
    document.title = $("title").textContent = t("pageTitle", { name: told.name });
    $("theme-name").textContent = themes();
    $("language").textContent = t("otherLanguage");
    $("chapters").replaceChildren(...chapters.map((id) => {
      const link = node("a", { class: "chat", href: `#${id}`, text: t(`${id}Title`) });
      link.addEventListener("click", frame.closeSide);
      return node("li", {}, link);
    }));
    told.show();
    nearest.show();
    if (!ready) return;
    tries.show();
    attention.show();
  }

  minitron.start = (engine) => {
    minitron.engine = engine;
    const { early } = engine;
    words.continues = told.base;
    const ours = (text) => /[а-яё]/i.test(text) === (words.lang === "ru"); // whether a text is in the language of the page
    const asked = early?.questions ?? [];
    const question = asked.find(ours) ?? asked[0] ?? (told.base ? "Once upon a time" : ["Hello! How are you?", "Привет! Как дела?"].find(ours));
    document.querySelector(".brand-name").textContent = told.name;
    document.body.classList.toggle("base", told.base);
    minitron.context = early?.model?.arch === "stream" ? Infinity : early?.model?.context;
    if (early) frame.showFace(early);
    tries.start(question);
    attention.start(question);
    nearest.start(question);
    $("theme").addEventListener("click", () => { look.next(); $("theme-name").textContent = themes(); attention.repaint(); });
    $("language").addEventListener("click", () => { look.speak(words.lang === "ru" ? "en" : "ru"); show(); });
    show();
    $("next-told").textContent = $("tokens-told").textContent = $("look-told").textContent = t("waking");
    engine.about().then(() => { ready = true; tries.show(); attention.show(); performance.mark("minitron-explained"); }, (error) => {
      $("trouble").hidden = false;
      $("trouble").textContent = error.message;
    });
  };
})();
