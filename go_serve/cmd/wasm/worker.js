// The worker of the one-file page: it gets the parts of the files from worker-engine.js, starts the engine, and hands requests
// on to it. wasm_exec.js of the Go distribution is put before this text.
"use strict";

(() => {
  const parts = {}; // file -> the parts of it that have arrived
  let engine; // the functions of the program in WebAssembly, once it runs
  let broken; // why it does not run

  const bytes = (text) => {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const binary = atob(text);
    const data = new Uint8Array(binary.length);
    for (let i = 0; i < data.length; i++) data[i] = binary.charCodeAt(i);
    return data;
  };

  // unpack gives a whole file as a Response. Reading it fails if the file is damaged: gzip has a checksum.
  const unpack = (file, type = "application/octet-stream") => {
    const stream = new Blob(parts[file]).stream().pipeThrough(new DecompressionStream("gzip"));
    delete parts[file];
    return new Response(stream, { headers: { "Content-Type": type } });
  };
  const unpacked = async (file) => new Uint8Array(await unpack(file).arrayBuffer());

  const check = (error) => {
    if (error) throw Object.assign(new Error(error.message), { code: error.code });
  };

  // take handles a part of a file; the files come in this order: engine.wasm, config.json, vocab.json, weights.bin.
  const take = async ({ file, text, last }) => {
    if (file === "weights.bin") check(engine.put(bytes(text))); // not compressed, and never held here as a whole
    else (parts[file] ??= []).push(bytes(text));
    if (!last) return;
    if (file === "engine.wasm") {
      const go = new Go();
      const { instance } = await WebAssembly.instantiateStreaming(unpack(file, "application/wasm"), go.importObject);
      go.run(instance).then(() => fail({ message: "the program ended", code: "engine_failed" }));
      engine = globalThis.minitron;
    } else if (file === "vocab.json") {
      check(engine.begin(await unpacked("config.json"), await unpacked(file)));
    } else if (file === "weights.bin") {
      check(engine.open());
      postMessage({ ready: true, about: engine.about() });
      open();
    }
  };

  const fail = ({ message, code }) => {
    broken = { message: String(message), code: code || "damaged_file" };
    postMessage({ broken });
    open();
  };

  // answer hands a request on to one of the engine's functions: chat or explain.
  const answer = ({ id, to, request }) => {
    if (!broken) engine[to](id, request, (chunk) => postMessage(chunk === null ? { id, done: true } : { id, chunk }));
  };

  // The parts are taken one after the other. Requests wait until the engine is open or broken, and may be stopped while they wait.
  let taken = Promise.resolve();
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  const waiting = new Set();
  onmessage = ({ data }) => {
    if (data.file) {
      taken = taken.then(() => broken || take(data)).catch(fail);
    } else if (data.request) {
      waiting.add(data.id);
      opened.then(() => waiting.delete(data.id) && answer(data));
    } else if (!waiting.delete(data.stop)) {
      engine?.stop(data.stop);
    }
  };
})();
