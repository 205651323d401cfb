// The worker of the one-file page: gets the file's parts from worker-engine.js, starts the engine, and hands requests on to
// it. wasm_exec.js of the Go distribution stands before this text.
"use strict";

(() => {
  const files = {}; // name -> the parts that came so far, of those that are needed whole
  let engine; // what the program in WebAssembly offers, once it runs
  let broken; // why it does not
  let code; // the stream that the program's compressed bytes are written to
  let started;

  const bytes = (text) => {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const binary = atob(text);
    const data = new Uint8Array(binary.length);
    for (let i = 0; i < data.length; i++) data[i] = binary.charCodeAt(i);
    return data;
  };

  const check = (error) => {
    if (error) throw Object.assign(new Error(error.message), { code: error.code });
  };

  // The program is unpacked and compiled while it arrives.
  const start = () => {
    const unpack = new DecompressionStream("gzip");
    code = unpack.writable.getWriter();
    code.closed.catch(() => {}); // the reading side says it
    const answer = new Response(unpack.readable, { headers: { "Content-Type": "application/wasm" } });
    const go = new Go();
    started = WebAssembly.instantiateStreaming(answer, go.importObject).then(({ instance }) => {
      go.run(instance).then(() => fail({ message: "the program ended", code: "engine_failed" }));
      engine = globalThis.minitron;
    });
    started.catch(() => {});
  };

  const whole = (name) => {
    const parts = files[name];
    delete files[name];
    const data = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
    parts.reduce((at, part) => (data.set(part, at), at + part.length), 0);
    return data;
  };

  // take handles a part of a file; the files come in this order: engine.wasm, config.json, vocab.json, weights.bin.
  const take = async ({ file, text, last }) => {
    const part = bytes(text);
    if (file === "engine.wasm") {
      if (!code) start();
      code.write(part).catch(() => {});
      if (last) {
        code.close().catch(() => {});
        await started;
      }
    } else if (file === "weights.bin") {
      check(engine.put(part));
    } else {
      (files[file] ??= []).push(part);
      if (file === "vocab.json" && last) check(engine.begin(whole("config.json"), whole("vocab.json")));
    }
    if (file === "weights.bin" && last) {
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

  const chat = ({ id, request }) => {
    if (!broken) engine.chat(id, request, (chunk) => postMessage(chunk === null ? { id, done: true } : { id, chunk }));
  };

  // The parts of the file are taken one after the other; requests wait for all of them, and may be stopped while they wait.
  let taken = Promise.resolve();
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  const waiting = new Set();
  onmessage = ({ data }) => {
    if (data.file) {
      taken = taken.then(() => broken || take(data)).catch(fail);
    } else if (data.request) {
      waiting.add(data.id);
      opened.then(() => waiting.delete(data.id) && chat(data));
    } else if (!waiting.delete(data.stop)) {
      engine?.stop(data.stop);
    }
  };
})();
