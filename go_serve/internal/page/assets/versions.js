// The versions of an answer that was written more than once. message.versions holds them in the order in which they were written:
// each {content, note, …}, and null in the place of the shown version, which is the message itself. The memory of a version holds
// what is known of it but not stored, such as its request.
"use strict";
(() => {
  const memories = new WeakMap(); // message, or a version that is not shown -> {}

  function memory(message) {
    if (!memories.has(message)) memories.set(message, {});
    return memories.get(message);
  }

  // place returns {at: the number of the shown version, from 0; of: how many there are}.
  function place({ versions }) {
    return versions ? { at: versions.indexOf(null), of: versions.length } : { at: 0, of: 1 };
  }

  // The fields of a message that all its versions share; all others belong to the shown version.
  const OF_ALL = ["role", "at", "versions"];
  const own = (message) => Object.fromEntries(Object.entries(message).filter(([key]) => !OF_ALL.includes(key)));

  // swap puts a version into the message and returns the one that was there.
  function swap(message, version) {
    const before = own(message);
    memories.set(before, memory(message));
    memories.set(message, memory(version));
    for (const key of Object.keys(before)) delete message[key];
    Object.assign(message, version);
    return before;
  }

  // begin starts a new, empty version. The version before is dropped if it has no text.
  function begin(message) {
    const { at } = place(message);
    const isKept = message.content.trim();
    const before = swap(message, { content: "" });
    if (isKept) message.versions = [...(message.versions ?? [null]).map((each, i) => (i === at ? before : each)), null];
  }

  // show makes another version the shown one.
  function show(message, to) {
    const { at, of } = place(message);
    if (to < 0 || to >= of || to === at) return;
    message.versions[at] = swap(message, message.versions[to]);
    message.versions[to] = null;
  }

  // sound deletes message.versions if it is no list of versions: storage and files may hold anything.
  function sound(message) {
    const { versions } = message;
    const isOne = (each) => each === null || typeof each?.content === "string";
    const right = Array.isArray(versions) && versions.every(isOne) && versions.filter((each) => each === null).length === 1;
    if (!right) delete message.versions;
  }

  minitron.versions = { memory, place, begin, show, sound };
})();
