// Package repl is the chat in a terminal or on a pipe. It talks to internal/chat and knows nothing of models or tokens.
package repl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"minitron/internal/chat"
	"minitron/internal/edit"
	"minitron/internal/engine"
	"minitron/internal/labels"
	"minitron/internal/lang"
	"minitron/internal/term"
)

// Options says where a REPL reads and writes, and what it shows. Answers go to Out, everything else to Err.
type Options struct {
	In         io.Reader    // where lines are read from if there is no Editor
	Editor     *edit.Reader // a terminal on which lines can be edited; or nil
	Out, Err   io.Writer
	Interrupts <-chan os.Signal // Ctrl-C
	Lang       *lang.Strings
	Prompt     bool       // show a prompt: a person types
	Colour     bool       // colours on Out and Err
	Columns    func() int // the width of the window that shows Out; nil: Out is a file, and lines are not broken
	ErrColumns func() int // the same for Err
	Name       string
	Greeting   string       // what the model says first; may be empty
	Questions  []string     // what a person may ask it first
	Labels     *labels.Book // where labels are kept; nil: nowhere
}

type repl struct {
	Options
	chat     *chat.Chat
	source   source
	last     engine.Stats
	answered bool     // whether there was an answer, which last belongs to
	draft    string   // the text that the next message begins with
	instead  bool     // whether the next message replaces the last one
	forgot   bool     // whether the person was told that the oldest turns are forgotten
	live     bool     // whether tokens are shown with their odds while they are written
	told     int      // the number of the token that was shown so last
	offered  []string // questions to begin with
}

// source is where messages come from. Its errors are edit.ErrInterrupted, together with what was typed so far, and io.EOF when
// no more messages come.
type source interface {
	Read(prompt, text string, remember bool) (string, error)
}

// Run chats until the person leaves. It returns nil when they did.
func Run(c *chat.Chat, options Options) error {
	if c.ContinuesText() {
		options.Lang = options.Lang.ForText()
	}
	r := &repl{Options: options, chat: c}
	if r.Editor != nil {
		r.Editor.Words = edit.Words{Searching: r.Lang.Searching, NotFound: r.Lang.NotFound}
		r.Editor.Complete, r.Editor.Goes = r.complete, goesOn
		r.source = r.Editor
	} else {
		lines := newLines(options)
		defer lines.close()
		r.source = lines
	}

	r.say(r.Lang.Greeting, r.Name)
	if r.Greeting != "" {
		r.tell(r.Greeting)
	}
	r.offer()
	for warned := false; ; {
		text, err := r.message()
		if errors.Is(err, edit.ErrInterrupted) { // a first Ctrl-C says how to leave, a second one in a row leaves
			if warned && text == "" {
				return nil
			}
			r.tell(r.Lang.HowToLeave)
			warned, r.instead = true, false
			continue
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		warned = false
		if leave, err := r.obey(text); leave || err != nil {
			return err
		}
	}
}

// At most maxOffered questions are shown, each of at most maxOfferedBytes bytes.
const maxOffered, maxOfferedBytes = 3, 200

// offer shows what a person may ask first.
func (r *repl) offer() {
	if !r.Prompt {
		return
	}
	for _, question := range r.Questions {
		question = strings.Join(strings.Fields(term.Plain(question)), " ")
		if question != "" && len(question) <= maxOfferedBytes && len(r.offered) < maxOffered && !strings.HasPrefix(question, "/") {
			r.offered = append(r.offered, question)
		}
	}
	if len(r.offered) == 0 {
		return
	}
	before := r.Lang.YouCouldAsk
	if r.Editor != nil {
		before = r.Lang.TabAsks
	}
	r.tell(before + "\n  " + strings.Join(r.offered, "\n  "))
}

// message reads what the person says next.
func (r *repl) message() (string, error) {
	draft := r.draft
	r.draft = ""
	return r.read(r.Lang.Prompt, draft, true)
}

// read reads a text, which has several lines if quotes are around it.
func (r *repl) read(prompt, draft string, remember bool) (string, error) {
	text, err := r.source.Read(prompt, draft, remember)
	for err == nil && r.Prompt && goesOn(text) { // happens only without a line editor
		var more string
		more, err = r.source.Read("  ", "", false)
		text += "\n" + more
	}
	return text, err
}

// obey carries out a command, or answers a message.
func (r *repl) obey(text string) (leave bool, err error) {
	instead := r.instead
	r.instead = false
	if strings.TrimSpace(text) == "" {
		return false, nil
	}
	if command, rest, is := r.parse(text); is {
		return command(r, rest)
	}
	if r.Prompt {
		text = unquote(text)
	}
	say := r.chat.Say
	if instead {
		say = r.chat.SayInstead
	}
	return false, r.answer(text, say)
}

// Three quotes begin and end a message of several lines.
const quotes = `"""`

// goesOn reports whether a message begins with quotes but does not end with them.
func goesOn(text string) bool {
	rest, begun := strings.CutPrefix(strings.TrimSpace(text), quotes)
	return begun && !strings.HasSuffix(rest, quotes)
}

// unquote removes the quotes around a message.
func unquote(text string) string {
	rest, begun := strings.CutPrefix(strings.TrimSpace(text), quotes)
	inner, ended := strings.CutSuffix(rest, quotes)
	if !begun || !ended || strings.TrimSpace(inner) == "" {
		return text
	}
	return strings.TrimSuffix(strings.TrimPrefix(inner, "\n"), "\n")
}

// ask asks a question and reports whether the answer is yes.
func (r *repl) ask(question string) bool {
	if !r.Prompt {
		r.tell(question)
	}
	answer, err := r.source.Read(question+" ", "", false)
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes", "д", "да":
		return err == nil
	}
	return false
}

// say formats one line for the person.
func (r *repl) say(format string, args ...any) { r.tell(fmt.Sprintf(format, args...)) }

// tell writes a text to the person, apart from the answers.
func (r *repl) tell(text string) {
	text = r.wrap(term.Plain(text))
	if r.Colour {
		text = "\x1b[2m" + text + "\x1b[0m"
	}
	fmt.Fprintln(r.Err, text)
}

// wrap breaks a text's lines between words.
func (r *repl) wrap(text string) string {
	if r.ErrColumns == nil {
		return text
	}
	var wrapped strings.Builder
	w := wrapper{out: &wrapped, columns: r.ErrColumns}
	io.WriteString(&w, text)
	w.flush()
	return wrapped.String()
}

// interruptible calls do; Ctrl-C then cancels its ctx.
func (r *repl) interruptible(do func(ctx context.Context, cancel func())) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if r.Editor != nil {
		defer r.Editor.During(cancel)()
	} else {
		defer r.during(cancel)()
	}
	do(ctx, cancel)
}

// during calls interrupt at the first Ctrl-C, until stop is called.
func (r *repl) during(interrupt func()) (stop func()) {
	finished, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-r.Interrupts:
			interrupt()
		case <-finished:
		}
	}()
	return func() {
		close(finished)
		<-watched
	}
}
