// Everything the page says, in English and in Russian. t("key", {n}) gives the text; fill(node) puts it where index.html
// names it: data-t (the text), data-label (the name a screen reader says), data-title (that and a tooltip). Where the model
// continues text, key_text is said in place of key.
"use strict";
var minitron = window.minitron || {};
window.minitron = minitron;

(() => {
  const words = {
    en: {
      language: "English", otherLanguage: "Русский",
      skip: "Skip to the message field", chats: "Chats", newChat: "New chat", openFile: "Open a saved chat", notAChat: "{name} holds no saved chat (JSON).", unreadable: "{name} cannot be read.", noChats: "Your chats will be listed here.",
      search: "Search", noneFound: "Nothing was found.", opened: "Opened: {n}", nothingNew: "All of it is here already.",
      versions: "Versions of the answer", earlier: "Earlier version", later: "Later version",
      openList: "Show the chats", closeList: "Hide the chats", renameThis: "Rename “{title}”",
      removeThis: "Delete “{title}”", removed: "Chat deleted", undo: "Undo", chatName: "Name of the chat",
      settings: "Settings", about: "About", help: "Keyboard", close: "Close", done: "Done",
      theme: "Colours: {name}", auto: "Auto", light: "Light", dark: "Dark",
      loading: "Waking up…", conversation: "Conversation", questions: "Suggested questions", toEnd: "Go to the end",
      messageLabel: "Your message", placeholder: "Message {name}…", send: "Send", stop: "Stop the answer",
      fine: "Small models make things up. Nothing you write leaves this device.",
      fineFile: "Small models make things up. Nothing you write leaves this device, but other HTML files opened on it may read it.",
      you: "You", said: "{name} said:", writing: "{name} is writing…", stoppedLive: "The answer was stopped.",
      copy: "Copy", copied: "Copied", copyFailed: "The browser does not allow copying", copyCode: "Copy the code",
      regenerate: "Answer again", edit: "Edit", odds: "How sure was it?", cancel: "Cancel", sendEdited: "Send",
      editLabel: "Edit your message; what follows it will be written anew",
      good: "Good answer", bad: "Bad answer", fix: "Write what it should have said", fixLabel: "What it should have said", keepFix: "Keep",
      fixLate: "The answer has changed since you began. Look at it, then press Keep again.",
      labelsKept: "Kept in this browser only. The button that saves a chat also writes your labels to a file that you can send.",
      saveLabels: "Your labels", saveLabelsHint: "{n}, of all chats, for whoever made the model: the answers that you labelled, and what was said before them",
      stopped: "Stopped", cutLength: "The longest answer is reached. It can go on; the settings allow more at once.",
      cutContext: "The memory is full, so the answer ends here.", nothing: "No words came back.",
      forgot: "{name} remembers about {n} tokens. The beginning of this chat no longer fits and is left out from here on.",
      retry: "Try again",
      unreachable: "The program does not answer. If you closed it, start it again: it opens this page anew.",
      restarted: "The program was started anew, and this page is an old one. Go on in the page that it opened: your chats are there.",
      tooLong: "This message is too long for such a small memory. Try a shorter one, or a shorter system message.",
      busy: "Too much is going on at once. Try again in a moment.", badSetting: "A setting does not suit the program: {message}",
      wrong: "Something went wrong: {message}", cannotStart: "The model could not be opened.",
      storeBlocked: "This browser keeps nothing for this page: the chats are gone when you close it.",
      storeFull: "The browser has no room for more chats. Delete some, or save them to files.",
      storeMayGo: "The browser may clear what is kept here, and a private window does so when it is closed: save to a file what should last.",
      saveChat: "Save to a file", saveText: "This chat as text", saveTextHint: "A .txt file that anyone can read",
      saveJSON: "This chat as JSON", saveJSONHint: "Opens here again, and in the terminal chat with /load", copyAll: "Copy this chat",
      copyAllHint: "To paste it somewhere", saveAll: "All chats", saveAllHint: "One .jsonl file that opens here again, also in another browser",
      oddsGone: "The probabilities of this answer are no longer available.",
      sure: "sure", guess: "a guess", ofTokens: "How likely each token was", instead: "What it could have said instead", take: "Go on with this instead",
      joint: "One character of {n} tokens", space: "space", newline: "new line", end: "the end",
      perSecond: "{n} per second", onAverage: "{n} on average", rest: "others",
      tokens_one: "{n} token", tokens_other: "{n} tokens",
      temperature: "Temperature", temperatureHint: "0 always takes the likeliest token; higher is livelier",
      top_p: "Top-p", top_pHint: "Choose among the likeliest that make up this part; 1 is off",
      top_k: "Top-k", top_kHint: "Choose among this many of the likeliest; 0 is off",
      min_p: "Min-p", min_pHint: "Leave out what is less likely than this part of the likeliest; 0 is off",
      repeat_penalty: "Repeat penalty", repeat_penaltyHint: "Above 1, it repeats itself less",
      max_tokens: "Longest answer", max_tokensHint: "In tokens; a token is a short word or a piece of one",
      seed: "Seed", seedHint: "The same seed gives the same answer to the same question", seedNone: "a new one each time",
      system: "System message", systemHint: "What the model is told before the chat begins",
      reset: "Back to the model’s own", own: "the model’s own: {value}", empty: "none",
      promise: "Nothing you write leaves this device.",
      fromFile: "This page was opened from a file: browsers let every other HTML file that is opened from this device read its chats.",
      promiseMore: "The model is part of what you opened and computes right here. No account, no network, no counting of visits. Your chats are kept in this browser only.",
      licence: "Licence", parameters: "Parameters", memory: "Memory", memoryValue: "{tokens} of conversation", memoryEndless: "has no end; what is old fades", shape: "Shape",
      shapeValue: "{arch}: {layers} layers, {heads} heads, width {dim}", vocabulary: "Vocabulary", pieces: "{n} pieces",
      trained: "Trained", sources: "Learnt from", weights: "Weights", program: "Program", kernel: "Computes with", made: "Made with",
      details: "For the curious", copyDigest: "Copy the sha256",
      kSend: "Send", kLine: "New line", kStop: "Stop the answer, close a panel", kEdit: "Edit your last message (in an empty field)",
      kNew: "New chat", kHelp: "This list", kFocus: "To the message field", kOdds: "From token to token in the probabilities",
      up: "↑", enter: "Enter", shift: "Shift", esc: "Esc", arrows: "← →",

      welcome: "{name}", welcome_text: "{name} continues what you begin.", more: "Go on",
      chats_text: "Texts", newChat_text: "New text", openFile_text: "Open saved texts", notAChat_text: "{name} holds no saved texts (JSON).", noChats_text: "Your texts will be listed here.",
      openList_text: "Show the texts", closeList_text: "Hide the texts", removed_text: "Text deleted", chatName_text: "Name of the text",
      conversation_text: "Texts", questions_text: "Suggested beginnings", messageLabel_text: "The beginning of a text",
      placeholder_text: "Begin a text, {name} continues it…", send_text: "Continue it", stop_text: "Stop the writing",
      said_text: "{name} continued:", stoppedLive_text: "The writing was stopped.", regenerate_text: "Continue in another way", sendEdited_text: "Continue it",
      editLabel_text: "Edit the beginning; what follows it will be written anew",
      cutLength_text: "The set length is reached. It can go on.", nothing_text: "Nothing came: the model ends here.",
      forgot_text: "The text is longer than the {n} tokens that {name} sees at once: it sees only the last part, and goes on from that.",
      storeBlocked_text: "This browser keeps nothing for this page: the texts are gone when you close it.",
      storeFull_text: "The browser has no room for more texts. Delete some, or save them to files.",
      restarted_text: "The program was started anew, and this page is an old one. Go on in the page that it opened: your texts are there.",
      saveText_text: "This text as text", saveJSON_text: "This text as JSON", copyAll_text: "Copy this text", saveAll_text: "All texts",
      versions_text: "Versions of the continuation",
      oddsGone_text: "The probabilities of this continuation are no longer available.",
      ofTokens_text: "How likely each token was", instead_text: "What could have come instead",
      max_tokens_text: "Length of a continuation", seedHint_text: "The same seed continues the same text alike",
      promiseMore_text: "The model is part of what you opened and computes right here. No account, no network, no counting of visits. Your texts are kept in this browser only.",
      memoryValue_text: "{tokens} of text", kSend_text: "Continue the text", kStop_text: "Stop the writing, close a panel",
      kEdit_text: "Edit the last beginning (in an empty field)", kNew_text: "New text", kFocus_text: "To the text field",
    },
    ru: {
      language: "Русский", otherLanguage: "English",
      skip: "К полю сообщения", chats: "Беседы", newChat: "Новая беседа", openFile: "Открыть сохранённую беседу", notAChat: "В файле {name} нет сохранённой беседы (JSON).", unreadable: "Файл {name} не читается.", noChats: "Здесь появятся ваши беседы.",
      search: "Поиск", noneFound: "Ничего не нашлось.",
      opened: "Открыто: {n}", nothingNew: "Всё это здесь уже есть.",
      versions: "Варианты ответа", earlier: "Предыдущий вариант", later: "Следующий вариант",
      openList: "Показать беседы", closeList: "Скрыть беседы", renameThis: "Переименовать «{title}»",
      removeThis: "Удалить «{title}»", removed: "Беседа удалена", undo: "Вернуть", chatName: "Название беседы",
      settings: "Настройки", about: "О модели", help: "Клавиши", close: "Закрыть", done: "Готово",
      theme: "Цвета: {name}", auto: "Авто", light: "Светлые", dark: "Тёмные",
      loading: "Просыпаюсь…", conversation: "Разговор", questions: "О чём спросить", toEnd: "В конец",
      messageLabel: "Ваше сообщение", placeholder: "Сообщение для {name}…", send: "Отправить", stop: "Остановить ответ",
      fine: "Маленькие модели выдумывают. Всё, что вы пишете, остаётся на этом устройстве.",
      fineFile: "Маленькие модели выдумывают. Всё, что вы пишете, остаётся на этом устройстве, но прочесть это могут и другие открытые на нём файлы HTML.",
      you: "Вы", said: "{name}:", writing: "{name} пишет…", stoppedLive: "Ответ остановлен.",
      copy: "Копировать", copied: "Скопировано", copyFailed: "Браузер не разрешает копировать", copyCode: "Копировать код",
      regenerate: "Ответить ещё раз", edit: "Изменить", odds: "Насколько уверенно?", cancel: "Отмена", sendEdited: "Отправить",
      editLabel: "Измените сообщение; всё после него будет написано заново",
      good: "Хороший ответ", bad: "Плохой ответ", fix: "Написать, как надо было ответить", fixLabel: "Как надо было ответить", keepFix: "Сохранить",
      fixLate: "Ответ с тех пор изменился. Посмотрите на него и нажмите «Сохранить» ещё раз.",
      labelsKept: "Хранится только в этом браузере. Кнопка, которая сохраняет беседу, запишет и ваши отметки в файл: его можно отправить.",
      saveLabels: "Ваши отметки", saveLabelsHint: "{n}, из всех бесед, для того, кто сделал модель: отмеченные ответы и то, что было сказано до них",
      stopped: "Остановлено", cutLength: "Достигнута наибольшая длина ответа. Можно продолжить; в настройках её можно увеличить.",
      cutContext: "Память заполнена, поэтому ответ кончается здесь.", nothing: "Ответ оказался пустым.",
      forgot: "{name} помнит около {n} токенов. Начало беседы больше не помещается и дальше не учитывается.",
      retry: "Ещё раз",
      unreachable: "Программа не отвечает. Если вы её закрыли, запустите снова: страница откроется заново.",
      restarted: "Программу запустили заново, и эта страница устарела. Продолжайте на той, что открылась: беседы там.",
      tooLong: "Сообщение слишком длинное для такой маленькой памяти. Попробуйте короче или сократите системное сообщение.",
      busy: "Слишком много дел сразу. Попробуйте чуть позже.", badSetting: "Настройка не подходит программе: {message}",
      wrong: "Что-то пошло не так: {message}", cannotStart: "Модель не удалось открыть.",
      storeBlocked: "Браузер ничего не хранит для этой страницы: беседы исчезнут, когда вы её закроете.",
      storeFull: "В браузере нет места для новых бесед. Удалите ненужные или сохраните их в файлы.",
      storeMayGo: "Браузер может стереть то, что здесь хранится, а приватное окно стирает при закрытии: что хотите сберечь, сохраните в файл.",
      saveChat: "Сохранить в файл", saveText: "Эта беседа текстом", saveTextHint: "Файл .txt, который прочтёт любой",
      saveJSON: "Эта беседа в JSON", saveJSONHint: "Открывается снова здесь, а в терминале — командой /load", copyAll: "Скопировать беседу",
      copyAllHint: "Чтобы куда-нибудь вставить", saveAll: "Все беседы", saveAllHint: "Один файл .jsonl, который откроется здесь снова, и в другом браузере тоже",
      oddsGone: "Вероятности для этого ответа уже недоступны.",
      sure: "уверенно", guess: "наугад", ofTokens: "Вероятность каждого токена", instead: "Что могло быть вместо этого", take: "Продолжить с этим",
      joint: "Один символ из {n} токенов", space: "пробел", newline: "новая строка", end: "конец",
      perSecond: "{n} в секунду", onAverage: "в среднем {n}", rest: "прочее",
      tokens_one: "{n} токен", tokens_few: "{n} токена", tokens_many: "{n} токенов", tokens_other: "{n} токена",
      temperature: "Температура", temperatureHint: "0 — всегда самый вероятный токен; больше — живее",
      top_p: "Top-p", top_pHint: "Выбирать из самых вероятных, которые вместе дают такую долю; 1 — выключено",
      top_k: "Top-k", top_kHint: "Выбирать из стольких самых вероятных; 0 — выключено",
      min_p: "Min-p", min_pHint: "Отбросить то, что менее вероятно, чем такая доля от самого вероятного; 0 — выключено",
      repeat_penalty: "Штраф за повторы", repeat_penaltyHint: "Больше 1 — меньше повторов",
      max_tokens: "Наибольшая длина ответа", max_tokensHint: "В токенах; токен — короткое слово или его часть",
      seed: "Зерно", seedHint: "При том же зерне на тот же вопрос будет тот же ответ", seedNone: "каждый раз новое",
      system: "Системное сообщение", systemHint: "Что модель узнаёт до начала беседы",
      reset: "Вернуть значения модели", own: "у модели: {value}", empty: "нет",
      promise: "Всё, что вы пишете, остаётся на этом устройстве.",
      fromFile: "Эта страница открыта из файла: браузеры дают читать её беседы любому другому файлу HTML, открытому на этом устройстве.",
      promiseMore: "Модель — часть того, что вы открыли, и считает прямо здесь. Ни регистрации, ни сети, ни подсчёта посещений. Беседы хранятся только в этом браузере.",
      licence: "Лицензия", parameters: "Параметры", memory: "Память", memoryValue: "{tokens} разговора", memoryEndless: "без предела; старое постепенно забывается", shape: "Устройство",
      shapeValue: "{arch}: слоёв {layers}, голов {heads}, ширина {dim}", vocabulary: "Словарь", pieces: "фрагментов: {n}",
      trained: "Обучена", sources: "Училась на", weights: "Веса", program: "Программа", kernel: "Считает на", made: "Сделано с помощью",
      details: "Для любопытных", copyDigest: "Копировать sha256",
      kSend: "Отправить", kLine: "Новая строка", kStop: "Остановить ответ, закрыть окно", kEdit: "Изменить последнее сообщение (в пустом поле)",
      kNew: "Новая беседа", kHelp: "Этот список", kFocus: "К полю сообщения", kOdds: "От токена к токену в вероятностях",
      up: "↑", enter: "Enter", shift: "Shift", esc: "Esc", arrows: "← →",

      welcome: "{name}", welcome_text: "{name} продолжит то, что вы начнёте.", more: "Дальше",
      chats_text: "Тексты", newChat_text: "Новый текст", openFile_text: "Открыть сохранённые тексты", notAChat_text: "В файле {name} нет сохранённых текстов (JSON).", noChats_text: "Здесь появятся ваши тексты.",
      openList_text: "Показать тексты", closeList_text: "Скрыть тексты", removed_text: "Текст удалён", chatName_text: "Название текста",
      conversation_text: "Тексты", questions_text: "С чего начать", messageLabel_text: "Начало текста",
      placeholder_text: "Начните текст, {name} продолжит…", send_text: "Продолжить", stop_text: "Остановить",
      said_text: "{name} продолжает:", stoppedLive_text: "Остановлено.", regenerate_text: "Продолжить иначе", sendEdited_text: "Продолжить",
      editLabel_text: "Измените начало; всё после него будет написано заново",
      cutLength_text: "Достигнута заданная длина. Можно продолжить.", nothing_text: "Ничего не пришло: модель на этом заканчивает.",
      forgot_text: "{name} видит сразу не больше {n} токенов; текст длиннее, поэтому продолжение опирается только на его конец.",
      storeBlocked_text: "Этот браузер ничего не хранит для этой страницы: тексты исчезнут, когда вы её закроете.",
      storeFull_text: "В браузере нет места для новых текстов. Удалите ненужные или сохраните их в файлы.",
      restarted_text: "Программу запустили заново, и эта страница устарела. Продолжайте на той, что открылась: тексты там.",
      saveText_text: "Этот текст как .txt", saveJSON_text: "Этот текст в JSON", copyAll_text: "Скопировать текст", saveAll_text: "Все тексты",
      versions_text: "Варианты продолжения",
      oddsGone_text: "Вероятности для этого продолжения уже недоступны.",
      ofTokens_text: "Вероятность каждого токена", instead_text: "Что могло быть вместо этого",
      max_tokens_text: "Длина продолжения", seedHint_text: "При том же зерне тот же текст продолжается так же",
      promiseMore_text: "Модель — часть того, что вы открыли, и считает прямо здесь. Ни регистрации, ни сети, ни подсчёта посещений. Тексты хранятся только в этом браузере.",
      memoryValue_text: "{tokens} текста", kSend_text: "Продолжить текст", kStop_text: "Остановить, закрыть окно",
      kEdit_text: "Изменить последнее начало (в пустом поле)", kNew_text: "Новый текст", kFocus_text: "К полю текста",
    },
  };

  let lang = "en";
  let continues = false; // whether the model continues text and has no dialogues

  // t returns the text of a key; {name} in it is replaced by values.name.
  function t(key, values = {}) {
    const text = (continues ? words[lang][`${key}_text`] : undefined) ?? words[lang][key] ?? words.en[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
  }

  // count is t for a number of things, with the form of the noun that the language needs.
  function count(key, n) {
    const form = `${key}_${new Intl.PluralRules(lang).select(n)}`;
    return t(form in words[lang] ? form : `${key}_other`, { n: number(n) });
  }

  function number(n, options) {
    return new Intl.NumberFormat(locale(), options).format(n);
  }

  // locale is the person's own variety of the language, for numbers and dates.
  function locale() {
    return (navigator.languages ?? []).find((each) => each.startsWith(lang)) ?? lang;
  }

  function fill(root) {
    for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
    for (const node of root.querySelectorAll("[data-hint]")) node.placeholder = t(node.dataset.hint);
    for (const node of root.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t(node.dataset.label));
    for (const node of root.querySelectorAll("[data-title]")) name(node, t(node.dataset.title));
  }

  // name sets the accessible name and the tooltip of a control without words.
  function name(node, text) {
    node.setAttribute("aria-label", text);
    node.title = text;
  }

  minitron.words = {
    t, count, number, fill, name,
    locale,
    get continues() { return continues; },
    set continues(yes) { continues = yes; },
    get lang() { return lang; },
    set lang(code) { lang = code in words ? code : "en"; document.documentElement.lang = lang; },
    // add takes the additional texts of a page that is built on this one: {en: {key: text}, ru: …}.
    add(more) { for (const [code, texts] of Object.entries(more)) Object.assign(words[code], texts); },
    keys: () => Object.fromEntries(Object.entries(words).map(([code, texts]) => [code, Object.keys(texts)])),
  };
})();
