// The last script of the one-file page, in the place of the page's own main.js. A script with a damaged character does not
// run, as its digest is another one; then there is nothing else to say it.
"use strict";
try {
  minitron.start(minitron.workerEngine());
} catch (error) {
  console.error(error);
  document.body.textContent =
    "This file is damaged: please get it again. Этот файл повреждён: пожалуйста, получите его ещё раз.";
}
