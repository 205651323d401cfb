// The engine of the one-file page: the same program in WebAssembly, in a worker made from this file's own text. It has the
// same two functions as http-engine.js, and early: what about() will say, known before the engine runs. Nothing is fetched:
// the parts lie in the page as <script type="application/octet-stream;base64" data-file="NAME">, up to a megabyte of text
// each, the last one of a file with data-last.
"use strict";

globalThis.minitron ??= {};

minitron.workerEngine = () => {
  const early = JSON.parse(document.getElementById("minitron-about").textContent);
  const running = new Map(); // id -> {onChunk, resolve, reject}
  let broken; // the error that every request meets
  let last = 0; // id

  const words = {
    damaged: {
      en: "This file is damaged: please get it again.",
      ru: "Этот файл повреждён: пожалуйста, получите его ещё раз.",
    },
    stopped: {
      en: "The model stopped working, perhaps for lack of memory: please reload the page.",
      ru: "Модель перестала работать, возможно, не хватило памяти: обновите страницу, пожалуйста.",
    },
    old: {
      en: "This browser is too old to run the model: please open the file in a newer one.",
      ru: "Этот браузер слишком старый для модели: откройте файл в более новом, пожалуйста.",
    },
  };
  // The smallest program that uses vectors of 128 bits, as the engine does.
  const vectors = new Uint8Array([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
  ]);
  const say = (key) => words[key][(minitron.words?.lang ?? navigator.language).startsWith("ru") ? "ru" : "en"];

  let opened, refused;
  const about = new Promise((resolve, reject) => ([opened, refused] = [resolve, reject]));
  about.catch(() => {}); // whoever asks gets it
  const failure = ({ code, message }) => Object.assign(new Error(message), { code });
  const fail = (code, key, detail) => {
    console.error(`minitron: ${code}: ${detail}`);
    broken = failure({ code, message: say(key) });
    refused(broken);
    for (const job of running.values()) job.reject(broken);
    running.clear();
  };

  const worker = (() => {
    if (!globalThis.DecompressionStream || !WebAssembly.validate(vectors)) return null;
    const url = URL.createObjectURL(
      new Blob([document.getElementById("minitron-worker").textContent], { type: "text/javascript" }),
    );
    return new Worker(url);
  })();
  if (!worker) {
    fail("old_browser", "old", "no vectors in WebAssembly, or no DecompressionStream");
    return { early, about: () => about, chat: () => about };
  }

  worker.onmessage = ({ data }) => {
    if (data.broken) {
      fail(data.broken.code, data.broken.code === "engine_failed" ? "stopped" : "damaged", data.broken.message);
      return;
    }
    if (data.ready) {
      opened(JSON.parse(data.about));
      performance.mark("minitron-ready");
      return;
    }
    const job = running.get(data.id);
    if (!job) return;
    if (data.chunk) {
      const chunk = JSON.parse(data.chunk);
      if (chunk.error) job.error = failure(chunk.error);
      else job.onChunk(chunk);
    } else {
      running.delete(data.id);
      if (job.error) job.reject(job.error);
      else job.resolve();
    }
  };
  worker.onerror = (event) => fail("engine_failed", "stopped", event.message);

  // hand gives the worker what the browser has read of the file so far, and forgets it here. A part is complete when
  // something follows it; one part per task, so that the page answers in between.
  const hand = () => {
    const part = document.querySelector("script[data-file]");
    const complete = part?.nextElementSibling || document.readyState !== "loading";
    if (part && complete) {
      worker.postMessage({ file: part.dataset.file, text: part.textContent, last: "last" in part.dataset });
      part.remove();
    } else if (!part && document.readyState !== "loading") {
      return; // all is handed over
    }
    setTimeout(hand, part && complete ? 0 : 20);
  };
  hand();

  return {
    early,
    about: () => about,
    chat: (request, { signal, onChunk }) =>
      new Promise((resolve, reject) => {
        const abort = () => new DOMException("the answer was stopped", "AbortError");
        if (signal?.aborted) return reject(abort());
        if (broken) return reject(broken);
        const id = ++last;
        const stop = () => {
          running.delete(id);
          worker.postMessage({ stop: id });
          reject(abort());
        };
        const end = (settle) => (value) => {
          signal?.removeEventListener("abort", stop);
          settle(value);
        };
        signal?.addEventListener("abort", stop, { once: true });
        running.set(id, { onChunk, resolve: end(resolve), reject: end(reject) });
        worker.postMessage({ id, request: JSON.stringify(request) });
      }),
  };
};
