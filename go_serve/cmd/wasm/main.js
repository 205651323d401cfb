// The last script of the one-file page; it replaces the page's own main.js. The browser does not run a script with a damaged
// character, as its digest differs; a missing script is noticed here, and no other code could tell the person.
"use strict";
try {
  minitron.start(minitron.workerEngine());
} catch (error) {
  console.error(error);
  document.body.textContent =
    "This file is damaged: please get it again. Этот файл повреждён: пожалуйста, получите его ещё раз.";
}
