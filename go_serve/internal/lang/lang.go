// Package lang holds everything that the program says to a person who chats, in English and in Russian. Errors about
// files and flags stay English: they are for whoever made the program.
package lang

import (
	"os"
	"strings"
)

// Strings is what is said, in one language. The verbs of a format are named beside it.
type Strings struct {
	Greeting    string // name of the model
	Help        string
	Prompt      string
	HowToLeave  string
	Unknown     string // the command
	Nearest     string // the command that was meant
	NotANumber  string // command, lowest, highest
	Reset       string
	SystemNow   string // text
	SystemNone  string
	SystemSet   string
	SystemClear string
	Temperature string // number
	MaxTokens   string // number
	Stats       string // turns, tokens used, context
	LastAnswer  string // prompt tokens, of these known, seconds, answer tokens, tokens per second
	Forgotten   string // turns
	TooLong     string // tokens of the message, tokens that fit
	SystemFull  string
	CutLength   string // max_tokens
	CutContext  string
	Interrupted string
	NoModel     string
	NoModelHint string
}

// English and Russian are the languages that the program knows.
var (
	English = Strings{
		Greeting: "This is %s. Type a message and press Enter. /help shows the commands, /quit leaves.",
		Help: `/help            this list
/reset           forget the conversation
/system [text]   show or set what the model is told first ("/system -" removes it)
/temp [x]        show or set the temperature: 0 is always the likeliest word
/max_tokens [n]  show or set how long an answer may get, in tokens
/stats           sizes and speeds
/quit            leave (Ctrl-D too)
Ctrl-C stops an answer.`,
		Prompt:      "> ",
		HowToLeave:  "To leave, press Ctrl-C once more, or type /quit.",
		Unknown:     "There is no command %s.",
		Nearest:     "Did you mean %s?",
		NotANumber:  "%s needs a number from %v to %v.",
		Reset:       "The conversation is forgotten.",
		SystemNow:   "The model is told first: %s",
		SystemNone:  "The model is told nothing first.",
		SystemSet:   "The model is told this first from now on.",
		SystemClear: "The model is told nothing first from now on.",
		Temperature: "temperature: %v",
		MaxTokens:   "tokens per answer, at most: %d",
		Stats:       "turns: %d, tokens: %d of %d",
		LastAnswer:  "last answer: read %d tokens (%d known already) in %.2f s, wrote %d tokens at %.1f per second",
		Forgotten:   "(The conversation no longer fits: oldest turns forgotten: %d.)",
		TooLong:     "This message is too long: it has %d tokens, %d fit. Shorten it or send it in parts.",
		SystemFull:  "What the model is told first takes all the room. Shorten it: /system",
		CutLength:   "(The answer was cut at %d tokens; /max_tokens changes that.)",
		CutContext:  "(The answer was cut: the context is full.)",
		Interrupted: "(stopped)",
		NoModel:     "there is no model inside this program",
		NoModelHint: "name one with --model DIR, or build a program with one: make binary",
	}

	Russian = Strings{
		Greeting: "Это %s. Напишите сообщение и нажмите Enter. /help покажет команды, /quit — выход.",
		Help: `/help            этот список
/reset           забыть разговор
/system [текст]  показать или задать, что модели сказано вначале («/system -» убирает)
/temp [x]        показать или задать температуру: 0 — всегда самое вероятное слово
/max_tokens [n]  показать или задать наибольшую длину ответа в токенах
/stats           размеры и скорость
/quit            выход (Ctrl-D тоже)
Ctrl-C останавливает ответ.`,
		Prompt:      "> ",
		HowToLeave:  "Чтобы выйти, нажмите Ctrl-C ещё раз или наберите /quit.",
		Unknown:     "Нет команды %s.",
		Nearest:     "Может быть, %s?",
		NotANumber:  "Для %s нужно число от %v до %v.",
		Reset:       "Разговор забыт.",
		SystemNow:   "Модели сказано вначале: %s",
		SystemNone:  "Модели вначале ничего не сказано.",
		SystemSet:   "Теперь модели сказано вначале это.",
		SystemClear: "Теперь модели вначале ничего не сказано.",
		Temperature: "температура: %v",
		MaxTokens:   "токенов в ответе, не больше: %d",
		Stats:       "реплик: %d, токенов: %d из %d",
		LastAnswer:  "последний ответ: прочитано токенов: %d (из них уже известно: %d) за %.2f с, написано: %d, в секунду: %.1f",
		Forgotten:   "(Разговор больше не помещается: забыто самых старых реплик: %d.)",
		TooLong:     "Сообщение слишком длинное: токенов в нём %d, помещается %d. Сократите его или пришлите по частям.",
		SystemFull:  "То, что модели сказано вначале, занимает всё место. Сократите: /system",
		CutLength:   "(Ответ обрезан, токенов: %d; изменить: /max_tokens.)",
		CutContext:  "(Ответ обрезан: контекст заполнен.)",
		Interrupted: "(остановлено)",
		NoModel:     "в этой программе нет модели",
		NoModelHint: "укажите её: --model DIR — или соберите программу с моделью: make binary",
	}
)

// Detect returns the language of the person at this machine: LC_ALL, LC_MESSAGES or LANG, the first that is set; else
// what the system says.
func Detect() *Strings {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if value := os.Getenv(name); value != "" {
			return choose(value)
		}
	}
	return choose(systemLanguage())
}

// choose picks by a locale's name, such as ru_RU.UTF-8.
func choose(locale string) *Strings {
	if strings.HasPrefix(strings.ToLower(locale), "ru") {
		return &Russian
	}
	return &English
}
