// Colours and language, chosen before the first paint so that nothing flashes; and the height of the page above a phone's keyboard.
"use strict";
(() => {
  const { words } = minitron;
  const themes = ["auto", "light", "dark"];

  // These two settings belong to the person, not to a model, so their keys have no digest. The browser may forbid all storage.
  const stored = (key) => { try { return localStorage.getItem(`minitron:${key}`); } catch { return null; } };
  const store = (key, value) => { try { localStorage.setItem(`minitron:${key}`, value); } catch { /* it lasts for this visit only */ } };

  let theme = themes.includes(stored("theme")) ? stored("theme") : "auto";
  const night = matchMedia("(prefers-color-scheme: dark)");
  const show = () => { document.documentElement.dataset.theme = theme === "auto" ? (night.matches ? "dark" : "light") : theme; };
  night.addEventListener("change", show);
  show();

  const wanted = stored("language") ?? (navigator.languages ?? [navigator.language])[0] ?? "en";
  words.lang = /^(ru|be|uk|kk)\b/i.test(wanted) ? "ru" : "en";

  // On iOS the keyboard covers the page: the unit dvh does not shrink then, but the visual viewport does.
  const viewport = window.visualViewport;
  if (viewport) {
    const fit = () => {
      if (viewport.scale !== 1) return; // zoomed in by hand: leave the layout alone
      document.documentElement.style.setProperty("--height", `${viewport.height}px`);
      if (viewport.offsetTop) window.scrollTo(0, 0);
    };
    viewport.addEventListener("resize", fit);
    fit();
  }

  minitron.look = {
    get theme() { return theme; },
    next() { theme = themes[(themes.indexOf(theme) + 1) % themes.length]; store("theme", theme); show(); },
    speak(code) { words.lang = code; store("language", code); },
  };
})();
