// Requests to the engine: for an answer, and once more for the same answer if the person looks at its probabilities. They cost time at
// every token, so an answer is first written without them; the same request with the same seed gives the same tokens.
"use strict";
(() => {
  const { words, versions } = minitron;
  const { t } = words;
  const TOP = 5; // alternatives per token in the probability view

  // explain returns in plain words what failed, from {code, message}.
  function explain({ code, message }) {
    const known = {
      unreachable: "unreachable", server_stopping: "unreachable", unknown_url: "restarted", context_length_exceeded: "tooLong", request_too_large: "tooLong",
      server_busy: "busy", timeout: "busy", invalid_value: "badSetting", unsupported_value: "badSetting",
    };
    return t(known[code] ?? "wrong", { message });
  }

  // turns leaves out questions without an answer: in a request, user and assistant must alternate.
  function turns(messages) {
    const pairs = [];
    for (let i = 0; i + 1 < messages.length; i += 2) if (messages[i + 1].content) pairs.push(messages[i], messages[i + 1]);
    return pairs;
  }

  // messagesFor returns the messages of a request that has a message written or continued, under message.system.
  // An empty system message takes the place of the model's own one, which a request without any would get.
  function messagesFor(chat, message, own) {
    const { system } = message;
    const at = chat.messages.indexOf(message);
    const question = chat.messages[at - 1];
    if (words.continues) return [{ role: "user", content: question.content + message.content }];
    const before = turns(chat.messages.slice(0, at - 1)).map(({ role, content }) => ({ role, content }));
    const begun = message.content ? [{ role: "assistant", content: message.content }] : [];
    return [...(system || own ? [{ role: "system", content: system }] : []), ...before, { role: "user", content: question.content }, ...begun];
  }

  // body returns the request for a message. The seed is chosen here, so that the request can be repeated; if the program was
  // started with a seed (about.seed), that one is used for all requests.
  function body(chat, message, about, settings) {
    const { system: _, ...sampling } = settings;
    const goesOn = message.content && !words.continues ? { continue_final_message: true } : {};
    const seed = about.seed === undefined ? { seed: crypto.getRandomValues(new Uint32Array(1))[0] } : {};
    return {
      model: about.name, truncation: "auto", stream: true, stream_options: { include_usage: true },
      messages: messagesFor(chat, message, about.system), ...goesOn, ...seed, ...sampling,
    };
  }

  // remember keeps the request by which a message was written or continued. The caller sets `stopped` of the returned object to
  // true if the answer broke off.
  function remember(message, request) {
    const memory = versions.memory(message);
    const one = { request, from: message.content.length, stopped: false };
    memory.asked = [...(memory.asked ?? []), one];
    memory.tokens = null;
    memory.shown = false;
    return one;
  }

  // begun records that a message begins with these tokens, whose probabilities are known.
  function begun(message, tokens) {
    versions.memory(message).asked = [{ tokens, from: 0 }];
  }

  // canWeigh tells whether the requests for all of an answer are known: not so after a reload, or from another tab or a file.
  const canWeigh = (message) => Boolean(message.content) && versions.memory(message).asked?.[0].from === 0;

  // weigh has a message written once more. Returns its tokens with their probabilities, or null if the text differs this time.
  async function weigh(engine, message) {
    const { asked } = versions.memory(message);
    const { content } = message;
    const tokens = [];
    for (const [i, { request, from, stopped, tokens: known }] of asked.entries()) {
      if (known) {
        tokens.push(...known);
        continue;
      }
      const wanted = content.slice(from, asked[i + 1]?.from);
      const enough = new AbortController();
      let written = "";
      const onChunk = (chunk) => {
        const choice = chunk.choices?.[0];
        if (enough.signal.aborted || !choice) return;
        written += choice.delta?.content ?? "";
        tokens.push(...(choice.logprobs?.content ?? []));
        if (stopped && written.length >= wanted.length) enough.abort();
      };
      if (!wanted) continue;
      await engine.chat({ ...request, logprobs: true, top_logprobs: TOP }, { signal: enough.signal, onChunk }).catch((error) => {
        if (!enough.signal.aborted) throw error;
      });
      if (written !== wanted) return null;
    }
    return tokens;
  }

  minitron.request = { explain, turns, body, begun, remember, canWeigh, weigh };
})();
