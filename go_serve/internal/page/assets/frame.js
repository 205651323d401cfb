// The frame around the chat: announcements for screen readers, the toast, the drawer with the list on a phone, the model's face.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);

  minitron.announce = (line) => { $("live").textContent = line; };

  let toastTimer;
  minitron.toast = (line, action, onAction) => {
    const [label, button] = $("toast").children;
    label.textContent = line;
    button.hidden = !action;
    button.textContent = action ?? "";
    button.onclick = () => { $("toast").hidden = true; onAction(); };
    $("toast").hidden = false;
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => { $("toast").hidden = true; }, action ? 12_000 : 4_000);
  };

  // --- the drawer of a phone
  const narrow = matchMedia("(max-width: 760px)");
  function openSide() {
    document.body.classList.add("side-open");
    $("open-side").setAttribute("aria-expanded", "true");
    fitSide();
    $("close-side").focus();
  }
  function closeSide() {
    if (!document.body.classList.contains("side-open")) return;
    document.body.classList.remove("side-open");
    $("open-side").setAttribute("aria-expanded", "false");
    fitSide();
    $("open-side").focus();
  }
  function fitSide() {
    const isOpen = document.body.classList.contains("side-open");
    $("side").inert = narrow.matches && !isOpen;
    $("stage").inert = narrow.matches && isOpen;
  }
  $("open-side").addEventListener("click", openSide);
  $("close-side").addEventListener("click", closeSide);
  $("scrim").addEventListener("click", closeSide);
  narrow.addEventListener("change", () => { closeSide(); fitSide(); });
  fitSide();

  // showFace shows the model's icon, or the first letter of its name on a colour made from its digest. Both reach the badges through
  // variables of the style sheet.
  function showFace(about) {
    const root = document.documentElement;
    const png = about.about?.icon;
    const hue = Number.parseInt((about.weights?.sha256 ?? "7").slice(0, 4), 16) % 360;
    root.style.setProperty("--hue", hue);
    root.style.setProperty("--face", png ? `url("data:image/png;base64,${png}")` : "none");
    root.style.setProperty("--letter", png ? '""' : JSON.stringify(Array.from(about.name ?? "")[0]?.toUpperCase() ?? ""));
    const letter = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="9" fill="hsl(${hue} 45% 42%)"/><circle cx="16" cy="16" r="6" fill="#fff"/></svg>`;
    document.querySelector("link[rel=icon]").href = png ? `data:image/png;base64,${png}` : `data:image/svg+xml,${encodeURIComponent(letter)}`;
  }

  minitron.frame = { closeSide, showFace };
})();
