// The engine of the one-file page: the same program in WebAssembly, in a worker made from this file's own text. It has the
// same two functions as http-engine.js, explain, and early: what about() will say, known before the engine runs. Nothing is fetched:
// the parts lie in the page as <script type="application/octet-stream;base64" data-file="NAME">, up to a megabyte of text
// each, the last one of a file with data-last; first of all worker.js.
"use strict";

globalThis.minitron ??= {};

minitron.workerEngine = () => {
  const running = new Map(); // id -> {onChunk, resolve, reject}
  let worker; // once its text is unpacked
  let unsent = []; // messages to it until then
  let broken; // the error that every request meets
  let last = 0; // id

  const words = {
    damaged_file: {
      en: "This file is damaged: please get it again.",
      ru: "Этот файл повреждён: пожалуйста, получите его ещё раз.",
    },
    engine_failed: {
      en: "The model stopped working, perhaps for lack of memory: please reload the page.",
      ru: "Модель перестала работать, возможно, не хватило памяти: обновите страницу, пожалуйста.",
    },
    old_browser: {
      en: "This browser is too old to run the model: please open the file in a newer one.",
      ru: "Этот браузер слишком старый для модели: откройте файл в более новом, пожалуйста.",
    },
  };
  const language = () => ((minitron.words?.lang ?? navigator.language).startsWith("ru") ? "ru" : "en");

  let opened, refused;
  const about = new Promise((resolve, reject) => ([opened, refused] = [resolve, reject]));
  about.catch(() => {}); // whoever asks gets it

  const failure = ({ code, message }) => Object.assign(new Error(message), { code });
  const fail = (code, detail) => {
    console.error(`minitron: ${code}: ${detail}`);
    broken = failure({ code, message: words[code][language()] });
    refused(broken);
    for (const job of running.values()) job.reject(broken);
    running.clear();
  };

  const onMessage = ({ data }) => {
    if (data.broken) return fail(data.broken.code in words ? data.broken.code : "damaged_file", data.broken.message);
    if (data.ready) {
      performance.mark("minitron-ready");
      return opened(JSON.parse(data.about));
    }
    const job = running.get(data.id);
    if (!job) return undefined;
    if (data.chunk) {
      const chunk = JSON.parse(data.chunk);
      if (chunk.error) job.error = failure(chunk.error);
      else job.onChunk(chunk);
      return undefined;
    }
    running.delete(data.id);
    return job.error ? job.reject(job.error) : job.resolve();
  };

  const post = (message) => (worker ? worker.postMessage(message) : unsent.push(message));

  const startWorker = async (text) => {
    const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const script = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
    worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    worker.onmessage = onMessage;
    worker.onerror = (event) => fail("engine_failed", event.message);
    for (const message of unsent.splice(0)) post(message);
  };

  // feedParts gives the worker what the browser has read of the file so far, and forgets it here. A part is complete when
  // something follows it; one part per task, so that the page answers in between.
  const feedParts = async () => {
    const part = document.querySelector("script[data-file]");
    const complete = part?.nextElementSibling || document.readyState !== "loading";
    if (!part && complete) return; // all is handed over
    if (part && complete) {
      const { dataset: { file }, textContent: text } = part;
      part.remove();
      if (file === "worker.js") await startWorker(text);
      else post({ file, text, last: "last" in part.dataset });
    }
    setTimeout(() => feedParts().catch((error) => fail("damaged_file", error)), part && complete ? 0 : 20);
  };

  let early;
  try {
    early = JSON.parse(document.getElementById("minitron-about").textContent);
  } catch (error) {
    console.error(error); // the rest says how damaged the file is
  }
  // The smallest program that uses vectors of 128 bits, as the engine does.
  const vectors = new Uint8Array([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
  ]);
  if (globalThis.DecompressionStream && WebAssembly.validate(vectors)) {
    feedParts().catch((error) => fail("damaged_file", error));
  } else {
    fail("old_browser", "no vectors in WebAssembly, or no DecompressionStream");
  }

  // ask sends requests to one of the engine's functions.
  const ask = (to) => (request, { signal, onChunk }) =>
    new Promise((resolve, reject) => {
      const abort = () => new DOMException("the answer was stopped", "AbortError");
      if (signal?.aborted) return reject(abort());
      if (broken) return reject(broken);
      const id = ++last;
      const stop = () => {
        running.delete(id);
        post({ stop: id });
        reject(abort());
      };
      const end = (settle) => (value) => {
        signal?.removeEventListener("abort", stop);
        settle(value);
      };
      signal?.addEventListener("abort", stop, { once: true });
      running.set(id, { onChunk, resolve: end(resolve), reject: end(reject) });
      return post({ id, to, request: JSON.stringify(request) });
    });

  return {
    early,
    about: () => about,
    chat: ask("chat"),
    // explain(request, {signal}) -> Promise of what internal/explain answers
    explain: async (request, { signal } = {}) => {
      let found;
      await ask("explain")(request, { signal, onChunk: (chunk) => { found = chunk; } });
      return found;
    },
  };
};
