package repl

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"minitron/internal/chat"
	"minitron/internal/term"
)

// command carries out a line that begins with a slash, and reports whether the person leaves. An error ends the chat.
type command func(r *repl, rest string) (leave bool, err error)

// named holds the commands in the order of the help, and then other names for the same commands.
var named = []struct {
	name string
	run  command
}{
	{"/help", telling(func(r *repl, _ string) { r.tell(r.Lang.Help) })},
	{"/new", telling((*repl).reset)},
	{"/regen", (*repl).regenerate},
	{"/more", (*repl).more},
	{"/undo", telling((*repl).undo)},
	{"/edit", (*repl).edit},
	{"/good", telling((*repl).good)},
	{"/bad", telling((*repl).bad)},
	{"/fix", (*repl).fix},
	{"/labels", telling((*repl).labels)},
	{"/save", telling((*repl).save)},
	{"/load", telling((*repl).load)},
	{"/system", telling((*repl).system)},
	{"/set", telling((*repl).set)},
	{"/probs", (*repl).probs},
	{"/branch", (*repl).branch},
	{"/tokens", telling((*repl).tokens)},
	{"/stats", telling((*repl).stats)},
	{"/bench", (*repl).bench},
	{"/quit", func(*repl, string) (bool, error) { return true, nil }},

	{"/?", telling(func(r *repl, _ string) { r.tell(r.Lang.Help) })},
	{"/reset", telling((*repl).reset)},
	{"/clear", telling((*repl).reset)},
	{"/temp", telling((*repl).temperature)},
	{"/max_tokens", telling((*repl).maxTokens)},
	{"/exit", func(*repl, string) (bool, error) { return true, nil }},
	{"/bye", func(*repl, string) (bool, error) { return true, nil }},
}

// names holds the names of named.
var names = func() (all []string) {
	for _, c := range named {
		all = append(all, c.name)
	}
	return all
}()

// telling makes a command of a function that can neither leave nor fail.
func telling(do func(r *repl, rest string)) command {
	return func(r *repl, rest string) (bool, error) {
		do(r, rest)
		return false, nil
	}
}

// mistyped matches what looks like an unknown command: a slash and a word at the beginning of a single line. A path has a
// second slash, so it does not match.
var mistyped = regexp.MustCompile(`^/[\pL\pN_?-]+( .*)?$`)

// parse finds the command that a text stands for; is reports whether it is a command rather than a message. A text that begins
// with a slash but names no command is a message, unless a person has probably mistyped a command: on a pipe every line is
// answered.
func (r *repl) parse(text string) (run command, rest string, is bool) {
	if !strings.HasPrefix(text, "/") {
		return nil, "", false
	}
	text = strings.TrimSpace(text)
	end := strings.IndexAny(text, " \n")
	if end < 0 {
		end = len(text)
	}
	name, rest := text[:end], strings.TrimSpace(text[end:])
	for _, c := range named {
		if strings.EqualFold(c.name, name) {
			return c.run, rest, true
		}
	}
	if !r.Prompt || !mistyped.MatchString(text) {
		return nil, "", false
	}
	return telling(func(r *repl, _ string) { r.unknown(name) }), "", true
}

func (r *repl) unknown(name string) {
	r.say(r.Lang.Unknown, name)
	if near := nearest(name, names); near != "" {
		r.say(r.Lang.Nearest, near)
	}
}

func (r *repl) reset(string) {
	r.chat.Reset()
	r.forgot = false
	r.tell(r.Lang.Reset)
}

func (r *repl) system(text string) {
	switch {
	case r.chat.ContinuesText():
		r.tell(r.Lang.NoSystem)
	case text == "-":
		r.chat.SetSystem("")
		r.tell(r.Lang.SystemClear)
	case text != "":
		r.chat.SetSystem(text)
		r.tell(r.Lang.SystemSet)
	case r.chat.System() == "":
		r.tell(r.Lang.SystemNone)
	default:
		r.say(r.Lang.SystemNow, r.chat.System())
	}
}

// regenerate answers the last message once more.
func (r *repl) regenerate(string) (bool, error) {
	text, ok := r.chat.Last()
	if !ok {
		r.tell(r.Lang.NothingYet)
		return false, nil
	}
	return false, r.answer(text, r.chat.SayInstead)
}

// more continues the last answer or, with a model that continues text, the last text.
func (r *repl) more(string) (bool, error) {
	if r.chat.Turns() == 0 {
		r.tell(r.Lang.NothingYet)
		return false, nil
	}
	return false, r.answer("", func(ctx context.Context, _ string, onText func(string)) (chat.Answer, error) {
		return r.chat.More(ctx, onText)
	})
}

func (r *repl) undo(string) {
	text, ok := r.chat.Last()
	if !ok {
		r.tell(r.Lang.NothingYet)
		return
	}
	r.chat.Undo()
	r.say(r.Lang.Undone, shorten(text))
}

// edit sends the last message again, changed: to the text given here, or to what the person makes of it in the editor. Nothing
// is lost until that is sent.
func (r *repl) edit(text string) (bool, error) {
	last, ok := r.chat.Last()
	switch {
	case !ok:
		r.tell(r.Lang.NothingYet)
	case text != "":
		return false, r.answer(text, r.chat.SayInstead)
	case r.Editor == nil:
		r.say(r.Lang.NeedsText, "/edit")
	default:
		r.draft, r.instead = last, true
	}
	return false, nil
}

// shorten returns the beginning of a text, in one line.
func shorten(text string) string {
	const most = 60
	short := []rune(strings.Join(strings.Fields(term.Plain(text)), " "))
	if len(short) > most {
		return string(short[:most]) + "..."
	}
	return string(short)
}

// complete returns the commands, or the settings after /set, that a text may be the beginning of. An empty line becomes the
// first of the questions that were offered; each question becomes the next one.
func (r *repl) complete(text string) (candidates []string) {
	if at := slices.Index(r.offered, text); len(r.offered) > 0 && (at >= 0 || text == "") {
		return []string{r.offered[(at+1)%len(r.offered)]}
	}
	if !strings.HasPrefix(text, "/") || strings.Contains(text, "\n") {
		return nil
	}
	among := names
	if strings.HasPrefix(text, "/set ") {
		among = nil
		for _, s := range settings {
			among = append(among, "/set "+s.name)
		}
	}
	for _, candidate := range among {
		if strings.HasPrefix(candidate, text) {
			candidates = append(candidates, candidate)
		}
	}
	if len(candidates) == 1 {
		candidates[0] += " " // so that the arguments can be typed at once
	}
	return candidates
}
