// Search in the titles and messages of the stored chats: a chat must have all typed words. Case, and ё or е, make no difference.
"use strict";
(() => {
  const BEFORE = 18, AFTER = 70; // characters of a message that are shown around what was found

  const fold = (text) => text.toLocaleLowerCase().replaceAll("ё", "е");

  function excerpt(text, at) {
    const start = at > BEFORE ? at - BEFORE : 0;
    const line = text.slice(start, at + AFTER).replace(/\s+/g, " ").trim();
    return `${start ? "…" : ""}${line}${text.length > at + AFTER ? "…" : ""}`;
  }

  // find returns [{chat, message, excerpt}] for the chats that have all words, and for all chats if there are no words. message is the
  // first that has most of the words which the title lacks; there is none if the title has all words.
  function find(chats, query) {
    const words = fold(query).split(/\s+/).filter(Boolean);
    return chats.flatMap((chat) => {
      const title = fold(chat.title);
      const texts = chat.messages.map((message) => fold(message.content));
      const missing = words.filter((word) => !title.includes(word));
      if (!missing.every((word) => texts.some((text) => text.includes(word)))) return [];
      if (!missing.length) return [{ chat }];
      const counts = texts.map((text) => missing.filter((word) => text.includes(word)).length);
      const best = counts.indexOf(counts.reduce((most, count) => Math.max(most, count), 0));
      const word = missing.find((each) => texts[best].includes(each));
      const message = chat.messages[best];
      return [{ chat, message, excerpt: excerpt(message.content, texts[best].indexOf(word)) }];
    });
  }

  minitron.search = { find };
})();
