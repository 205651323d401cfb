// What `web` runs. A page with the model inside replaces this file by its own line.
"use strict";
minitron.start(minitron.httpEngine());
