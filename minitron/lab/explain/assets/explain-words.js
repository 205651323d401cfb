// The texts of the page that explains a model, in addition to those of the chat page (words.js).
"use strict";
minitron.words.add({
  en: {
    skipMenu: "Skip the menu", chapters: "Chapters", openMenu: "Show the chapters", closeMenu: "Hide the chapters", explanation: "How this model works",
    pageTitle: "How {name} works", typeHere: "Type something", waking: "The model is waking up…", tooLongHere: "This text is too long to be shown here.",

    readTitle: "What it read", readLead: "A language model knows what its data say. These are the rows that it was made of, and those that were left out.",
    readRows: "{rows} rows read, {kept} kept: {train} to learn from; held out to test with: {valid} dialogues and {probes} questions.",
    sources: "Sources", source: "source", licence: "licence", address: "from", kept: "kept", became: "What became of the rows", rows: "rows", examplesKept: "Kept, for example", examplesDropped: "Left out: {reason}",
    readNothing: "The run holds no report of its data.", readBase: "This model read plain text; the chapter “{chapter}” looks through it.",

    tokensTitle: "How a text becomes tokens", tokensLead: "The model never sees letters. A text is cut into pieces from a fixed vocabulary, and each piece is a number. Common words are one piece, rare ones are many.",
    withMarkers: "as the model sees it: a question between markers", tokensTold: "{tokens} for {characters} ({bytes}): {ratio} in a token",
    characters_one: "{n} character", characters_other: "{n} characters", bytes_one: "{n} byte", bytes_other: "{n} bytes", pieceTold: "token {id}: {text}",

    nextTitle: "What it thinks next", nextLead: "After every token the model gives each token of its vocabulary a probability. That is all it does: an answer is this step, again and again. Take another branch and see where it leads.",
    nextPath: "The answer so far (choose a token to go back to it)", nextGo: "Go on by itself", nextBack: "One token back", nextReset: "From the start",
    nextTold: "Doubt: {bits} bits, as when guessing among {among} equally likely tokens.", nextEnd: "The answer ends here.", nextFull: "The model's memory is full.", nextEmpty: "nothing yet",
    marker: "marker {name}",

    lookTitle: "Where it looks", lookLead: "For every token, each head of each layer decides how much it takes from the tokens before it. Choose a head, then a token: the stronger another token's colour, the more is taken from it.",
    lookHeads: "Heads, a row for each layer", lookHead: "Layer {layer}, head {head}", lookPieces: "Tokens", quoted: "“{x}”", lookTold: "{token} looks at {others}", lookWindow: "; this layer sees the last {tokens} only",
    lookNone: "Layer {layer} has no attention: it is of the kind “{kind}”, which keeps a summary in place of looking back.", lookMap: "Who looks at whom: a row for each token, a column for what it looks at",

    nearestTitle: "The nearest in its data", nearestLead: "Did it make this up, or read it? These are the questions in the training data that are most like yours.",
    nearestHow: "By what measure: words are cut into overlapping groups of three letters; rare groups count more (TF-IDF); 100% means the same groups in the same amounts (cosine).",
    nearestTold: "Among {count} questions of {here} of the {all} training dialogues. Those with a word of their own are all here, as far as there is room; the rest is drawn at random.", nearestAsk: "Ask the model, too", nearestSays: "{name} says (the likeliest answer)", nearestNone: "Nothing in the data shares three letters in a row with this.", nearestEmpty: "This file carries no training data.",
    similar: "{n} alike",

    trainingTitle: "How it learned", trainingLead: "The loss says how surprised the model is by the next token of a text, in nats: the lower, the better it predicts. Held-out text is text that it never learns from.",
    stage_pretrain: "Raw text (pretrain)", stage_sft: "Dialogues (sft)", lossTrain: "training", lossValid: "held out", step: "step {n}", steps: "steps", unitLoss: "nats per token", logScale: "logarithmic", samplesAt: "What it said at step {n}", samplesMove: "Move through training",
    trainingNone: "The run holds no record of its training.",

    alignedTitle: "Before and after alignment", alignedLead: "After learning to talk, the model is shown its own bad answers beside good ones (KTO): good ones become likelier, bad ones less. Guards take care that nothing else breaks.",
    before: "before", after: "after", wanted: "recorded answer", asked: "question", measure: "measure", verdict: "Verdict: {outcome}.", outcome_improved: "improved", alignedNone: "This model was not aligned.", way: "Drawn as in “{name}”",
    rate_failing: "answers with a failure", rate_loop: "loops", rate_runaway: "runs on and on", rate_canned: "stock phrases", rate_ended: "ends by itself", probesRight: "test questions answered right", bitsPerByte: "bits per byte of held-out text", heldOut: "held-out loss", chosen: "good answers", rejected: "bad answers", ratios: "How much likelier than before", rawZ: "Drift from the model before (raw z)",

    failsTitle: "How it fails", failsLead: "Every model of this size is wrong often. These are the kinds of questions that it is worst at, and answers that it got wrong in its examination.",
    weakest: "Right answers by skill", wrong: "Wrong answers", skill: "skill", answer: "answer", rule: "what was wanted", failsNone: "The examination found nothing wrong, or has not been held.", checkAll: "has all of: {x}", checkAny: "has one of: {x}", checkNone: "lacks: {x}", checkEquals: "is: {x}",

    cardTitle: "The model card", cardLead: "What whoever uses the model should know.",

    readLead_text: "A language model knows what its data say.",
    nextLead_text: "After every token the model gives each token of its vocabulary a probability. That is all it does: a text is this step, again and again. Take another branch and see where it leads.",
    nextPath_text: "The continuation so far (choose a token to go back to it)", nextEnd_text: "The text ends here.",
    nearestLead_text: "Did it make this up, or read it? These are the passages of its training text that are most like yours.",
    nearestTold_text: "Among {here} of the {all} passages of the training text. Those with a word of their own are all here, as far as there is room; the rest is drawn at random.",
    asked_text: "beginning", wanted_text: "how the text goes on",
    failsLead_text: "Every model of this size is wrong often. These are beginnings of held-out passages, with what the text says next, and what the model does.",
  },
  ru: {
    skipMenu: "Пропустить меню", chapters: "Главы", openMenu: "Показать главы", closeMenu: "Скрыть главы", explanation: "Как работает эта модель",
    pageTitle: "Как работает {name}", typeHere: "Напишите что-нибудь", waking: "Модель просыпается…", tooLongHere: "Этот текст слишком длинный, чтобы показать его здесь.",

    readTitle: "Что она читала", readLead: "Языковая модель знает то, что есть в её данных. Вот строки, из которых она сделана, и те, что отброшены.",
    readRows: "Прочитано строк: {rows}, оставлено: {kept}. Для обучения: {train}; отложено для проверки: диалогов {valid}, вопросов {probes}.",
    sources: "Источники", source: "источник", licence: "лицензия", address: "откуда", kept: "оставлено", became: "Что стало со строками", rows: "строк", examplesKept: "Оставлено, например", examplesDropped: "Отброшено: {reason}",
    readNothing: "В папке модели нет отчёта о данных.", readBase: "Эта модель читала простой текст; поискать в нём можно в главе «{chapter}».",

    tokensTitle: "Как текст становится токенами", tokensLead: "Модель никогда не видит букв. Текст режется на куски из постоянного словаря, и каждый кусок — число. Частые слова — один кусок, редкие — несколько.",
    withMarkers: "как видит модель: вопрос между метками", tokensTold: "{tokens} на {characters} ({bytes}): {ratio} на токен",
    characters_one: "{n} символ", characters_few: "{n} символа", characters_many: "{n} символов", characters_other: "{n} символа", bytes_one: "{n} байт", bytes_few: "{n} байта", bytes_many: "{n} байт", bytes_other: "{n} байта", pieceTold: "токен {id}: {text}",

    nextTitle: "Что она скажет дальше", nextLead: "После каждого токена модель даёт каждому токену словаря вероятность. Больше она ничего не делает: ответ — это тот же шаг снова и снова. Сверните на другую ветку и посмотрите, куда она ведёт.",
    nextPath: "Уже написано (выберите токен, чтобы вернуться к нему)", nextGo: "Дальше сама", nextBack: "На токен назад", nextReset: "С начала",
    nextTold: "Сомнение: {bits} бита, как при выборе из {among} равновероятных токенов.", nextEnd: "На этом ответ кончается.", nextFull: "Память модели заполнена.", nextEmpty: "пока ничего",
    marker: "метка {name}",

    lookTitle: "Куда она смотрит", lookLead: "Для каждого токена каждая голова каждого слоя решает, сколько взять от токенов перед ним. Выберите голову, потом токен: чем ярче цвет другого токена, тем больше от него взято.",
    lookHeads: "Головы, каждый ряд — слой", lookHead: "Слой {layer}, голова {head}", lookPieces: "Токены", quoted: "«{x}»", lookTold: "{token} смотрит на {others}", lookWindow: "; этот слой видит только последние {tokens}",
    lookNone: "В слое {layer} нет внимания: он вида «{kind}» и вместо взгляда назад хранит краткий итог.", lookMap: "Кто на кого смотрит: строка — токен, столбец — на что он смотрит",

    nearestTitle: "Ближайшее в её данных", nearestLead: "Она это придумала или прочитала? Вот вопросы из обучающих данных, больше всего похожие на ваш.",
    nearestHow: "Чем измерено: слова режутся на тройки букв внахлёст; редкие тройки весят больше (TF-IDF); 100% значит те же тройки в том же количестве (косинус).",
    nearestTold: "Среди вопросов: {count}, из диалогов: {here}, а всего в обучении их {all}. Те, где есть слово, которого нет в других, взяты все, пока есть место; остальные выбраны случайно.", nearestAsk: "Спросить и модель", nearestSays: "{name} отвечает (самый вероятный ответ)", nearestNone: "В данных нет ничего с тремя общими буквами подряд.", nearestEmpty: "В этом файле нет обучающих данных.",
    similar: "похоже на {n}",

    trainingTitle: "Как она училась", trainingLead: "Потеря (loss) показывает, насколько модель удивлена следующим токеном, в натах: чем меньше, тем лучше она предсказывает. На отложенном тексте она никогда не учится.",
    stage_pretrain: "Простой текст (pretrain)", stage_sft: "Диалоги (sft)", lossTrain: "обучение", lossValid: "отложенное", step: "шаг {n}", steps: "шаги", unitLoss: "нат на токен", logScale: "логарифмически", samplesAt: "Что она говорила на шаге {n}", samplesMove: "Двигайтесь по обучению",
    trainingNone: "В папке модели нет записей об обучении.",

    alignedTitle: "До и после выравнивания", alignedLead: "Когда модель научилась говорить, ей показывают её же плохие ответы рядом с хорошими (KTO): хорошие становятся вероятнее, плохие — менее вероятными. Сторожа следят, чтобы остальное не сломалось.",
    before: "до", after: "после", wanted: "записанный ответ", asked: "вопрос", measure: "мера", verdict: "Итог: {outcome}.", outcome_improved: "стало лучше", alignedNone: "Эту модель не выравнивали.", way: "Ответы в режиме «{name}»",
    rate_failing: "ответы с ошибкой поведения", rate_loop: "зацикливания", rate_runaway: "не может остановиться", rate_canned: "заготовленные фразы", rate_ended: "заканчивает сама", probesRight: "верные ответы на проверочные вопросы", bitsPerByte: "бит на байт отложенного текста", heldOut: "потеря на отложенном", chosen: "хорошие ответы", rejected: "плохие ответы", ratios: "Насколько вероятнее, чем раньше", rawZ: "Уход от прежней модели (raw z)",

    failsTitle: "Как она ошибается", failsLead: "Любая модель такого размера часто неправа. Вот что ей даётся хуже всего и что она ответила неверно на экзамене.",
    weakest: "Верные ответы по навыкам", wrong: "Неверные ответы", skill: "навык", answer: "ответ", rule: "что требовалось", failsNone: "Экзамен ничего не нашёл или его ещё не было.", checkAll: "есть всё: {x}", checkAny: "есть одно из: {x}", checkNone: "нет: {x}", checkEquals: "равно: {x}",

    cardTitle: "Карточка модели", cardLead: "Что стоит знать тому, кто пользуется моделью.",

    readLead_text: "Языковая модель знает то, что есть в её данных.",
    nextLead_text: "После каждого токена модель даёт каждому токену словаря вероятность. Больше она ничего не делает: текст — это тот же шаг снова и снова. Сверните на другую ветку и посмотрите, куда она ведёт.",
    nextPath_text: "Продолжение (выберите токен, чтобы вернуться к нему)", nextEnd_text: "На этом текст кончается.",
    nearestLead_text: "Она это придумала или прочитала? Вот отрывки из её обучающего текста, больше всего похожие на ваш.",
    nearestTold_text: "Среди отрывков обучающего текста: {here}, а всего их {all}. Те, где есть слово, которого нет в других, взяты все, пока есть место; остальные выбраны случайно.",
    asked_text: "начало", wanted_text: "как текст продолжается",
    failsLead_text: "Любая модель такого размера часто неправа. Вот начала отложенных отрывков, что в тексте дальше и что пишет модель.",
  },
});
