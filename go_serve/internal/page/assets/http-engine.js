// The engine over HTTP: the program that served this page. Addresses are relative, as the path holds the secret token.
"use strict";
(() => {
  function failure(message, code) {
    return Object.assign(new Error(message), { code });
  }

  async function request(address, options) {
    let response;
    try {
      response = await fetch(address, { credentials: "omit", cache: "no-store", ...options });
    } catch (error) {
      throw error.name === "AbortError" ? error : failure(error.message, "unreachable");
    }
    if (response.ok) return response;
    const told = await response.json().then((body) => body.error, () => null);
    throw failure(told?.message ?? `HTTP ${response.status}`, told?.code ?? told?.type ?? String(response.status));
  }

  // events yields the data of each server-sent event: a line "data: …", with an empty line after it.
  async function* events(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "", ended = false;
    try {
      for (;;) {
        const { value, done } = await reader.read();
        ended = done;
        if (done) return;
        const lines = (rest + value).split(/\r?\n/);
        rest = lines.pop();
        for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
      }
    } finally {
      if (!ended) reader.cancel().catch(() => {}); // not at the end: some requests would then count as broken off
    }
  }

  async function chat(body, { signal, onChunk }) {
    const response = await request("v1/chat/completions", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ...body, stream: true }), signal,
    });
    let whole = false;
    try {
      for await (const data of events(response.body)) {
        if (data === "[DONE]") whole = true; // but read on to the end, or the request would count as broken off
        if (whole) continue;
        const chunk = JSON.parse(data);
        if (chunk.error) throw failure(chunk.error.message, chunk.error.code ?? chunk.error.type);
        onChunk(chunk);
      }
    } catch (error) {
      throw error.name === "AbortError" || error.code ? error : failure(error.message, "unreachable");
    }
    if (!whole) throw failure("the answer broke off", "unreachable");
  }

  minitron.httpEngine = () => ({ about: async () => (await request("about")).json(), chat });
})();
