// What can be done with an answer: the buttons below it, in the order of this list. A file that is loaded after messages.js adds
// its own by minitron.actions.list.push(action). An action is
//   {icon: a symbol of index.html, title: a key of words.js, press(answer)} and, as needed,
//   {shown(message): whether the button is there, pressed(message): whether it looks pressed, last: true for a button that only
//   the last answer of a chat has, class: a name for the style sheet, update(answer): called whenever the answer is shown anew}
// An answer is {message, begun: the question, item: its node, body: the node of its text, redraw(), keep(): stores the change}; press
// and update also get button: the node of the button.
// What an action writes into the message is stored with the message, and belongs to the version of the answer that is shown.
"use strict";
(() => {
  const { words, text: { node, iconButton } } = minitron;
  const list = [];

  // bar makes the buttons of an answer: {bar: their node, update()}.
  function bar(answer) {
    const made = list.map((action) => {
      const style = ["icon-button", action.last && "again", action.class].filter(Boolean).join(" ");
      const button = iconButton(action.icon, words.t(action.title), () => action.press({ ...answer, button }), style);
      return { action, button };
    });
    const update = () => {
      for (const { action, button } of made) {
        button.hidden = action.shown ? !action.shown(answer.message) : false;
        if (action.pressed) button.setAttribute("aria-pressed", String(action.pressed(answer.message)));
        action.update?.({ ...answer, button });
      }
    };
    return { bar: node("div", { class: "actions" }, ...made.map(({ button }) => button)), update };
  }

  minitron.actions = { list, bar };
})();
