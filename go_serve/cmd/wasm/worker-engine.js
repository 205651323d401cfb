// The engine of the one-file page: the same program in WebAssembly, in a worker whose script lies in the page. It has the two
// functions of http-engine.js, a function explain, and early: the part of about() that is known before the engine runs. Nothing is
// fetched: every file lies in the page as parts <script type="application/octet-stream;base64" data-file="NAME"> of up to a megabyte
// of text; the last part of a file has data-last. The first file is worker.js.
"use strict";

globalThis.minitron ??= {};

minitron.workerEngine = () => {
  const running = new Map(); // id -> {onChunk, resolve, reject}
  let worker; // set once its script is unpacked
  let unsent = []; // messages that wait for the worker
  let broken; // the error that every request gets, once the engine has failed
  let last = 0; // id of the latest request

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
  about.catch(() => {}); // no "unhandled rejection": callers of about() get the error

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

  // feedParts hands the parts that the browser has read so far to the worker, and removes them from the page. A part is complete
  // when another element follows it. Each task hands over one part, so that the page stays responsive.
  let whole = false; // whether the last part of all is there: a file that was cut off lacks it
  const feedParts = async () => {
    const part = document.querySelector("script[data-file]");
    const complete = part?.nextElementSibling || document.readyState !== "loading";
    if (!part && complete) {
      if (!whole) throw new Error("parts are missing");
      return;
    }
    if (part && complete) {
      const { dataset: { file }, textContent: text } = part;
      part.remove();
      whole = file === "weights.bin" && "last" in part.dataset;
      if (file === "worker.js") await startWorker(text);
      else post({ file, text, last: "last" in part.dataset });
    }
    setTimeout(() => feedParts().catch((error) => fail("damaged_file", error)), part && complete ? 0 : 20);
  };

  let early;
  try {
    early = JSON.parse(document.getElementById("minitron-about").textContent);
  } catch (error) {
    console.error(error); // the person is told when the parts prove damaged, too
  }
  // The smallest program with 128-bit vectors, which the engine uses: it tells whether the browser has them.
  const vectors = new Uint8Array([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
  ]);
  if (globalThis.DecompressionStream && WebAssembly.validate(vectors)) {
    feedParts().catch((error) => fail("damaged_file", error));
  } else {
    fail("old_browser", "no vectors in WebAssembly, or no DecompressionStream");
  }

  // ask returns a function that sends requests to one of the engine's functions, `to`.
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
