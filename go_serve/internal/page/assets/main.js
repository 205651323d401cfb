// Starts the page of the command `web`. The one-file page has a main.js of its own (cmd/wasm).
"use strict";
minitron.start(minitron.httpEngine());
