// Package lang holds everything that the program says to a person who chats, in English and in Russian. Errors about
// files and flags stay English: they are for whoever made the program.
package lang

import (
	"os"
	"strings"
)

// Strings holds the program's texts in one language. The comment beside a format names the values of its verbs.
type Strings struct {
	Greeting    string // name of the model
	Help        string
	Prompt      string
	HowToLeave  string
	Unknown     string // the command
	Nearest     string // the command that was probably meant
	NotANumber  string // command, lowest, highest
	Reset       string
	SystemNow   string // text
	SystemNone  string
	SystemSet   string
	SystemClear string
	Temperature string // number
	MaxTokens   string // number
	Stats       string // turns, tokens used, context
	StatsNoEnd  string // for a context without an end: turns, tokens, MB that the model keeps of them
	LastAnswer  string // prompt tokens, how many of these were cached, seconds, answer tokens
	LastSpeed   string // answer tokens per second; follows LastAnswer
	Forgotten   string
	YouCouldAsk string // questions follow
	TabAsks     string // the same, if Tab types them
	TooLong     string // tokens of the message, tokens that fit
	SystemFull  string
	CutLength   string // max_tokens
	CutContext  string
	Interrupted string
	NothingYet  string
	Ended       string // the model ended at once
	NoTokens    string
	NoSystem    string

	// These replace the texts above if the model continues text: see ForText.
	TextGreeting, TextHelp, TextReset, TextStats, TextForgotten, TextYouCouldAsk, TextTabAsks, TextCutLength, TextNothingYet string

	// The line editor.
	Searching string
	NotFound  string

	// Commands about the last message.
	Undone    string // text
	NeedsText string // command
	Pieces    string // number, tokens
	ProbsOn   string
	ProbsOff  string
	NoTrace   string
	NoBranch  string
	Bench     string // tokens read, per second, tokens written, per second, threads

	// /set.
	NoSetting string // name

	// /save and /load; all begin with the file's name.
	NeedsFile    string // command
	NoFile       string
	Overwrite    string
	NotSaved     string
	CannotWrite  string // reason
	Saved        string // turns
	CannotRead   string // reason
	NotSavedChat string
	Loaded       string // turns

	// The reasons of CannotWrite and CannotRead that the program finds itself.
	NotRegular    string
	TooLarge      string // MiB
	NotLabels     string
	TooManyLabels string

	// /good, /bad, /fix and /labels.
	FixPrompt   string
	NotedGood   string // labels
	NotedBad    string // labels
	NotedFix    string // labels
	NotLabelled string
	NoLabels    string
	LabelsOff   string
	LabelsBegin string // file
	LabelsNone  string
	LabelsCount string // good, bad, fixes, file
	LabelsSaved string // file, labels

	NoModel     string
	NoModelHint string

	WebPage string // name of the model, address
	Serving string // name of the model, address
	APIRoot string
	WebGone string
	// The program's own file.
	FileDamaged     string // why
	FileDamagedHint string
	FileShort       string
	FileSeal        string
	FileChecksum    string // the checksum it has, and the one it should have
	PressEnter      string
}

// English and Russian are the languages that the program knows.
var (
	English = Strings{
		Greeting: "This is %s. Type a message and press Enter. /help shows the commands, /quit leaves.",
		Help: `/help              this list
/new               forget the conversation and begin a new one
/regen             answer the last message once more
/more              let the last answer go on
/undo              take the last message and its answer back
/edit [text]       change the last message and send it again
/good, /bad [why]  label the last answer; kept on this computer alone
/fix [text]        write what it should have answered
/labels [FILE]     how many labels there are, or write them to a file that you can send to whoever made the model
/save FILE         write the conversation to a file (JSON)
/load FILE         go on with a saved conversation
/system [text]     show or set the system message, which the model is told first ("/system -" removes it)
/set [name] [x]    show or set temperature, top-k, top-p, min-p, repeat-penalty, max-tokens or seed
/probs [on|off]    the tokens of the last answer, how probable they were, and the likeliest alternatives; on: while they are written
/branch N [K]      go back to token N of the last answer, take the K-th of its alternatives, and go on from there
/tokens [text]     how a text is cut into tokens, or all that the model saw and wrote last
/stats             sizes and speeds
/bench             measure how fast the model reads and writes here
/quit              leave (Ctrl-D too)
/reset and /clear are /new, /? is /help; /temp and /max_tokens are short for /set temperature and /set max-tokens.
Ctrl-C stops an answer. Up and Down bring back what you sent, Ctrl-R searches it, Tab completes commands.
A message of several lines: paste it, press Alt-Enter between the lines, or begin and end it with """.`,
		Prompt:      "> ",
		HowToLeave:  "To leave, press Ctrl-C once more, or type /quit.",
		Unknown:     "There is no command %s. If this is a message, begin it with a space.",
		Nearest:     "Did you mean %s?",
		NotANumber:  "%s needs a number from %v to %v.",
		Reset:       "The conversation is forgotten.",
		SystemNow:   "System message: %s",
		SystemNone:  "There is no system message.",
		SystemSet:   "The system message is set.",
		SystemClear: "The system message is removed.",
		Temperature: "temperature: %v",
		MaxTokens:   "tokens per answer, at most: %d",
		Stats:       "turns: %d, tokens: %d of %d",
		StatsNoEnd:  "turns: %d, tokens: %d; what the model keeps of them takes %.1f MB, however long it gets",
		LastAnswer:  "last answer: read %d tokens (%d known already) in %.2f s, wrote %d tokens",
		LastSpeed:   " at %.1f per second",
		Forgotten:   "(The conversation is longer than the model can see: from now on it forgets the oldest turns. /save still writes all of them.)",
		YouCouldAsk: "You could ask:",
		TabAsks:     "You could ask (Tab types it):",
		TooLong:     "This message is too long: it has %d tokens, %d fit. Shorten it or send it in parts.",
		SystemFull:  "The system message takes all the room. Shorten it: /system",
		CutLength:   "(The answer was cut at %d tokens; /max_tokens changes that.)",
		CutContext:  "(The answer was cut: the context is full.)",
		Interrupted: "(stopped)",
		NothingYet:  "Nothing was said yet.",
		Ended:       "(The model ends here.)",
		NoTokens:    "There is nothing in this text that the model could go on from.",
		NoSystem:    "This model continues text: it has no system message.",

		TextGreeting: "This is %s. It continues text: type how one begins and press Enter. /more goes on, /help shows the commands, /quit leaves.",
		TextHelp: `/help              this list
/more              go on with the last text
/new               forget all texts
/regen             continue the last text once more, in another way
/undo              take the last text back
/edit [text]       change how the last text begins and continue it again
/save FILE         write the texts to a file (JSON)
/load FILE         bring back texts that were saved; /more goes on with the last one
/set [name] [x]    show or set temperature, top-k, top-p, min-p, repeat-penalty, max-tokens or seed
/probs [on|off]    the last tokens written, how probable they were, and the likeliest alternatives; on: while they are written
/branch N [K]      go back to token N of those, take the K-th of its alternatives, and go on from there
/tokens [text]     how a text is cut into tokens, or all that the model saw and wrote last
/stats             sizes and speeds
/bench             measure how fast the model reads and writes here
/quit              leave (Ctrl-D too)
/reset and /clear are /new, /? is /help; /temp and /max_tokens are short for /set temperature and /set max-tokens.
Ctrl-C stops the writing. Up and Down bring back what you typed, Ctrl-R searches it, Tab completes commands.
A beginning of several lines: paste it, press Alt-Enter between the lines, or begin and end it with """.`,
		TextReset:       "All texts are forgotten.",
		TextStats:       "texts: %d, tokens of the last one in view: %d of %d",
		TextForgotten:   "(The text is longer than the model can see: it sees only the last part, and goes on from that.)",
		TextYouCouldAsk: "A text could begin:",
		TextTabAsks:     "A text could begin (Tab types it):",
		TextCutLength:   "(That was %d tokens; /more goes on, /max_tokens changes how many.)",
		TextNothingYet:  "There is no text yet.",

		Searching: "search",
		NotFound:  "not found",

		Undone:    "Taken back: %s",
		NeedsText: "%s needs a text.",
		Pieces:    "tokens: %d\n%s",
		ProbsOn:   "Tokens are shown with their probabilities while they are written; /probs off ends that.",
		ProbsOff:  "Answers are shown as text.",
		NoTrace:   "There are no tokens to show of what was written last; /regen writes it anew.",
		NoBranch:  "This token has no alternative with that number; /probs lists them.",
		Bench:     "read %d tokens at %.1f per second, wrote %d tokens at %.1f per second; threads: %d",

		NoSetting: "There is no setting %s.",

		NeedsFile:    "%s needs the name of a file.",
		NoFile:       "%s is no ordinary file.",
		Overwrite:    "%s is there already. Replace it? [y/N]",
		NotSaved:     "%s stays as it is.",
		CannotWrite:  "%s cannot be written: %v.",
		Saved:        "Written to %s; turns: %d.",
		CannotRead:   "%s cannot be read: %v.",
		NotSavedChat: `%s holds no conversation: it must be {"messages": [...]} with messages of user and assistant in turn.`,
		Loaded:       "%s goes on here; turns: %d.",

		NotRegular:    "it is no ordinary file",
		TooLarge:      "it is larger than %d MiB",
		NotLabels:     "it holds no labels of this program; move it away",
		TooManyLabels: "there are too many labels; send them, then delete the file",

		FixPrompt:   "it should have said> ",
		NotedGood:   "Noted as good; labels: %d.",
		NotedBad:    "Noted as bad; labels: %d.",
		NotedFix:    "Noted what it should have said; labels: %d.",
		NotLabelled: "Nothing is noted.",
		NoLabels:    "This model continues text: there are no answers to label.",
		LabelsOff:   "Nothing may be kept here (MINITRON_HISTORY=off, or no folder for settings): answers cannot be labelled.",
		LabelsBegin: "(Labels are kept on this computer alone, in %s. /labels FILE writes a file that you can send to whoever made the model.)",
		LabelsNone:  "No answer is labelled yet: /good, /bad [why] and /fix [text] label the last one.",
		LabelsCount: "good: %d, bad: %d, fixes: %d; on this computer alone, in %s. To send them: /labels FILE",
		LabelsSaved: "Written to %s; labels: %d. Whoever made the model teaches it with: minitron labels add",

		NoModel:     "there is no model inside this program",
		NoModelHint: "name one with --model DIR, or build a program with one: make binary",

		WebPage:         "%s waits for you in the browser at %s (Ctrl-C here ends it.)",
		Serving:         "%s answers at %s (Ctrl-C ends it.)",
		APIRoot:         "A language model answers programs here: they send POST /v1/chat/completions, as OpenAI's clients do, and GET /v1/models names the model. A page to chat on is opened by: minitron-chat web",
		WebGone:         "This address is an old one: the program has a new one each time it is started. Open the one that it has printed.",
		FileDamaged:     "this program's file is damaged (%w)",
		FileDamagedHint: "copy it or download it again",
		FileShort:       "its end is missing",
		FileSeal:        "its checksum is not readable",
		FileChecksum:    "its checksum is %08x and should be %08x",
		PressEnter:      "Press Enter to close this window.",
	}

	Russian = Strings{
		Greeting: "Это %s. Напишите сообщение и нажмите Enter. /help покажет команды, /quit — выход.",
		Help: `/help              этот список
/new               забыть разговор и начать новый
/regen             ответить на последнее сообщение ещё раз
/more              продолжить последний ответ
/undo              убрать последнее сообщение и ответ на него
/edit [текст]      изменить последнее сообщение и отправить снова
/good, /bad [почему] отметить последний ответ; остаётся только на этом компьютере
/fix [текст]       написать, как надо было ответить
/labels [ФАЙЛ]     сколько отметок, или записать их в файл, который можно отправить тому, кто сделал модель
/save ФАЙЛ         записать разговор в файл (JSON)
/load ФАЙЛ         продолжить записанный разговор
/system [текст]    показать или задать системное сообщение: что модель узнаёт до разговора («/system -» убирает)
/set [имя] [x]     показать или задать temperature, top-k, top-p, min-p, repeat-penalty, max-tokens или seed
/probs [on|off]    токены последнего ответа, их вероятности и самые вероятные варианты; on — пока пишутся
/branch N [K]      вернуться к токену N последнего ответа, взять вместо него K-й вариант и продолжить оттуда
/tokens [текст]    как текст делится на токены, или всё, что модель видела и написала в последний раз
/stats             размеры и скорость
/bench             измерить, как быстро модель здесь читает и пишет
/quit              выход (Ctrl-D тоже)
/reset и /clear — то же, что /new, /? — /help; /temp и /max_tokens — сокращения для /set temperature и /set max-tokens.
Ctrl-C останавливает ответ. Стрелки вверх и вниз возвращают отправленное, Ctrl-R ищет в нём, Tab дополняет команды.
Сообщение из нескольких строк: вставьте его, разделяйте строки Alt-Enter или начните и закончите его знаками """.`,
		Prompt:      "> ",
		HowToLeave:  "Чтобы выйти, нажмите Ctrl-C ещё раз или наберите /quit.",
		Unknown:     "Нет команды %s. Если это сообщение, начните его с пробела.",
		Nearest:     "Может быть, %s?",
		NotANumber:  "Для %s нужно число от %v до %v.",
		Reset:       "Разговор забыт.",
		SystemNow:   "Системное сообщение: %s",
		SystemNone:  "Системного сообщения нет.",
		SystemSet:   "Системное сообщение задано.",
		SystemClear: "Системное сообщение убрано.",
		Temperature: "температура: %v",
		MaxTokens:   "токенов в ответе, не больше: %d",
		Stats:       "реплик: %d, токенов: %d из %d",
		StatsNoEnd:  "реплик: %d, токенов: %d; то, что модель из них хранит, занимает %.1f МБ при любой длине",
		LastAnswer:  "последний ответ: прочитано токенов: %d (из них уже известно: %d) за %.2f с, написано: %d",
		LastSpeed:   ", в секунду: %.1f",
		Forgotten:   "(Разговор длиннее, чем модель может видеть: с этого места она забывает самые старые реплики. /save запишет и их.)",
		YouCouldAsk: "Можно спросить:",
		TabAsks:     "Можно спросить (Tab напишет за вас):",
		TooLong:     "Сообщение слишком длинное: токенов в нём %d, помещается %d. Сократите его или пришлите по частям.",
		SystemFull:  "Системное сообщение занимает всё место. Сократите его: /system",
		CutLength:   "(Ответ обрезан, токенов: %d; изменить: /max_tokens.)",
		CutContext:  "(Ответ обрезан: контекст заполнен.)",
		Interrupted: "(остановлено)",
		NothingYet:  "Ещё ничего не сказано.",
		Ended:       "(Модель на этом заканчивает.)",
		NoTokens:    "В этом тексте нет ничего, что модель могла бы продолжить.",
		NoSystem:    "Эта модель продолжает текст: системного сообщения у неё нет.",

		TextGreeting: "Это %s. Модель продолжает текст: напишите его начало и нажмите Enter. /more — дальше, /help покажет команды, /quit — выход.",
		TextHelp: `/help              этот список
/more              продолжить последний текст
/new               забыть все тексты
/regen             продолжить последний текст ещё раз, иначе
/undo              убрать последний текст
/edit [текст]      изменить начало последнего текста и продолжить снова
/save ФАЙЛ         записать тексты в файл (JSON)
/load ФАЙЛ         вернуть записанные тексты; /more продолжит последний
/set [имя] [x]     показать или задать temperature, top-k, top-p, min-p, repeat-penalty, max-tokens или seed
/probs [on|off]    последние написанные токены, их вероятности и самые вероятные варианты; on — пока пишутся
/branch N [K]      вернуться к токену N из них, взять вместо него K-й вариант и продолжить оттуда
/tokens [текст]    как текст делится на токены, или всё, что модель видела и написала в последний раз
/stats             размеры и скорость
/bench             измерить, как быстро модель здесь читает и пишет
/quit              выход (Ctrl-D тоже)
/reset и /clear — то же, что /new, /? — /help; /temp и /max_tokens — сокращения для /set temperature и /set max-tokens.
Ctrl-C останавливает модель. Стрелки вверх и вниз возвращают набранное, Ctrl-R ищет в нём, Tab дополняет команды.
Начало из нескольких строк: вставьте его, разделяйте строки Alt-Enter или начните и закончите его знаками """.`,
		TextReset:       "Все тексты забыты.",
		TextStats:       "текстов: %d, токенов последнего в памяти модели: %d из %d",
		TextForgotten:   "(Текст длиннее, чем модель может видеть: она видит только его конец и продолжает с него.)",
		TextYouCouldAsk: "Текст мог бы начинаться так:",
		TextTabAsks:     "Текст мог бы начинаться так (Tab напишет за вас):",
		TextCutLength:   "(Токенов: %d; /more — дальше, /max_tokens меняет их число.)",
		TextNothingYet:  "Текста ещё нет.",

		Searching: "поиск",
		NotFound:  "не найдено",

		Undone:    "Убрано: %s",
		NeedsText: "Для %s нужен текст.",
		Pieces:    "токенов: %d\n%s",
		ProbsOn:   "Токены показываются с вероятностями, пока пишутся; закончить: /probs off.",
		ProbsOff:  "Ответы показываются текстом.",
		NoTrace:   "Токены написанного в последний раз не сохранились; /regen напишет заново.",
		NoBranch:  "У этого токена нет варианта с таким номером; список: /probs.",
		Bench:     "прочитано токенов: %d, в секунду: %.1f; написано: %d, в секунду: %.1f; потоков: %d",

		NoSetting: "Нет настройки %s.",

		NeedsFile:    "Для %s нужно имя файла.",
		NoFile:       "%s — не обычный файл.",
		Overwrite:    "%s уже есть. Заменить? [д/Н]",
		NotSaved:     "%s остаётся как есть.",
		CannotWrite:  "Не удалось записать %s: %v.",
		Saved:        "Записано в %s; реплик: %d.",
		CannotRead:   "Не удалось прочитать %s: %v.",
		NotSavedChat: `В %s нет разговора: там должно быть {"messages": [...]}, сообщения user и assistant по очереди.`,
		Loaded:       "Разговор из %s продолжается; реплик: %d.",

		NotRegular:    "это не обычный файл",
		TooLarge:      "он больше %d МиБ",
		NotLabels:     "в нём нет отметок этой программы; уберите его оттуда",
		TooManyLabels: "отметок слишком много; отправьте их, затем удалите файл",

		FixPrompt:   "надо было ответить> ",
		NotedGood:   "Отмечено: хорошо; всего отметок: %d.",
		NotedBad:    "Отмечено: плохо; всего отметок: %d.",
		NotedFix:    "Записано, как надо было ответить; всего отметок: %d.",
		NotLabelled: "Ничего не отмечено.",
		NoLabels:    "Эта модель продолжает текст: ответов, которые можно отметить, у неё нет.",
		LabelsOff:   "Отмечать ответы нельзя: здесь ничего не хранится (MINITRON_HISTORY=off или нет папки для настроек).",
		LabelsBegin: "(Отметки хранятся только на этом компьютере, в %s. /labels ФАЙЛ запишет их в файл, который можно отправить тому, кто сделал модель.)",
		LabelsNone:  "Ни один ответ ещё не отмечен: последний отмечают /good, /bad [почему] и /fix [текст].",
		LabelsCount: "хорошо: %d, плохо: %d, исправлено: %d; только на этом компьютере, в %s. Чтобы отправить: /labels ФАЙЛ",
		LabelsSaved: "Записано в %s; отметок: %d. Автор модели учит её на них командой minitron labels add",

		NoModel:     "в этой программе нет модели",
		NoModelHint: "укажите её: --model DIR — или соберите программу с моделью: make binary",

		WebPage:         "%s ждёт вас в браузере по адресу %s (Ctrl-C здесь — закончить.)",
		Serving:         "%s отвечает по адресу %s (Ctrl-C — закончить.)",
		APIRoot:         "Здесь языковая модель отвечает программам: они посылают POST /v1/chat/completions, как клиенты OpenAI, а GET /v1/models называет модель. Страницу для беседы открывает команда: minitron-chat web",
		WebGone:         "Это старый адрес: при каждом запуске у программы он новый. Откройте тот, который она напечатала.",
		FileDamaged:     "файл этой программы повреждён (%w)",
		FileDamagedHint: "скопируйте или скачайте его ещё раз",
		FileShort:       "не хватает его конца",
		FileSeal:        "контрольная сумма не читается",
		FileChecksum:    "контрольная сумма %08x, а должна быть %08x",
		PressEnter:      "Нажмите Enter, чтобы закрыть окно.",
	}
)

// ForText returns the texts for a model that continues text, with which there is no conversation and there are no answers.
func (s *Strings) ForText() *Strings {
	t := *s
	t.Greeting, t.Help, t.Reset, t.Stats = s.TextGreeting, s.TextHelp, s.TextReset, s.TextStats
	t.Forgotten, t.YouCouldAsk, t.TabAsks = s.TextForgotten, s.TextYouCouldAsk, s.TextTabAsks
	t.CutLength, t.NothingYet = s.TextCutLength, s.TextNothingYet
	return &t
}

// Detect returns the texts in the language of the person at this machine: that of LC_ALL, LC_MESSAGES or LANG, whichever is set
// first; otherwise that of the system.
func Detect() *Strings {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if value := os.Getenv(name); value != "" {
			return Choose(value)
		}
	}
	return Choose(systemLanguage())
}

// Choose picks a language by a locale's name, such as ru_RU.UTF-8, or by the first entry of a browser's list of languages.
func Choose(locale string) *Strings {
	if strings.HasPrefix(strings.ToLower(locale), "ru") {
		return &Russian
	}
	return &English
}
