// The versions of an answer that was written more than once. message.versions holds them in the order in which they came: each
// {content, note, …}, and null in the place of the one that is shown, which is the message itself. What is known of a version
// but not stored, as how it was asked for, is its memory.
"use strict";
(() => {
  const memories = new WeakMap(); // message, or a version that is set aside -> {}

  function memory(message) {
    if (!memories.has(message)) memories.set(message, {});
    return memories.get(message);
  }

  // place says which version is shown, and of how many.
  function place({ versions }) {
    return versions ? { at: versions.indexOf(null), of: versions.length } : { at: 0, of: 1 };
  }

  // All that a message has belongs to its version, but for these.
  const OF_ALL = ["role", "at", "versions"];
  const own = (message) => Object.fromEntries(Object.entries(message).filter(([key]) => !OF_ALL.includes(key)));

  // swap shows a version in the place of the one that is shown, which it returns.
  function swap(message, version) {
    const before = own(message);
    memories.set(before, memory(message));
    memories.set(message, memory(version));
    for (const key of Object.keys(before)) delete message[key];
    Object.assign(message, version);
    return before;
  }

  // begin makes room for another version, which is empty. One without a word is not kept.
  function begin(message) {
    const { at } = place(message);
    const isKept = message.content.trim();
    const before = swap(message, { content: "" });
    if (isKept) message.versions = [...(message.versions ?? [null]).map((each, i) => (i === at ? before : each)), null];
  }

  // show takes another version to the screen.
  function show(message, to) {
    const { at, of } = place(message);
    if (to < 0 || to >= of || to === at) return;
    message.versions[at] = swap(message, message.versions[to]);
    message.versions[to] = null;
  }

  // sound drops what is no list of versions: storage and files may hold anything.
  function sound(message) {
    const { versions } = message;
    const isOne = (each) => each === null || typeof each?.content === "string";
    const right = Array.isArray(versions) && versions.every(isOne) && versions.filter((each) => each === null).length === 1;
    if (!right) delete message.versions;
  }

  minitron.versions = { memory, place, begin, show, sound };
})();
