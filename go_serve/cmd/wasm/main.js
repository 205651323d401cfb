// The last script of the one-file page, in the place of the page's own main.js.
"use strict";

minitron.start(minitron.workerEngine());
