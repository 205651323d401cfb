// Package repl is the chat in a terminal on plain lines of input. It talks to internal/chat and knows nothing of models
// or tokens.
package repl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"minitron-chat/internal/chat"
	"minitron-chat/internal/lang"
)

// Options says where a REPL reads and writes. Answers go to Out, all else to Err.
type Options struct {
	In         io.Reader
	Out, Err   io.Writer
	Interrupts <-chan os.Signal // Ctrl-C
	Lang       *lang.Strings
	Prompt     bool // show a prompt: a person types
	Colour     bool // escape sequences on Out and Err
	Name       string
	Greeting   string // what the model says first; may be empty
}

type repl struct {
	Options
	chat     *chat.Chat
	last     chat.Stats
	answered bool // last is of an answer
	// requests asks the reading goroutine for one line: nothing is read ahead while the model answers, so what a person
	// types then stays in the terminal.
	requests chan struct{}
	lines    chan line
}

type line struct {
	text string
	err  error // io.EOF at the end of input
}

// Run chats until the person leaves. It returns nil when they did.
func Run(c *chat.Chat, options Options) error {
	r := &repl{Options: options, chat: c, requests: make(chan struct{}), lines: make(chan line, 1)}
	go r.read()
	defer close(r.requests)

	r.say(r.Lang.Greeting, r.Name)
	if r.Greeting != "" {
		r.tell(r.Greeting)
	}
	for {
		text, err := r.prompt()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		text = strings.TrimRight(text, "\r\n")
		switch {
		case strings.TrimSpace(text) == "":
		case strings.HasPrefix(text, "/"):
			if leave := r.command(text); leave {
				return nil
			}
		default:
			if err := r.answer(text); err != nil {
				return err
			}
		}
	}
}

// read serves lines of any length. It ends with the requests, or stays in a read that nobody awaits when the program
// leaves.
func (r *repl) read() {
	in := bufio.NewReaderSize(r.In, 1<<16)
	for range r.requests {
		text, err := in.ReadString('\n')
		if text != "" && errors.Is(err, io.EOF) {
			err = nil // a last line without its end
		}
		r.lines <- line{text, err}
	}
}

// prompt waits for a line. A first Ctrl-C says how to leave, a second one in a row leaves.
func (r *repl) prompt() (string, error) {
	r.showPrompt()
	r.requests <- struct{}{}
	for warned := false; ; warned = true {
		select {
		case l := <-r.lines:
			if r.Prompt && errors.Is(l.err, io.EOF) {
				fmt.Fprintln(r.Err) // leave the line of the prompt
			}
			return l.text, l.err
		case <-r.Interrupts:
			fmt.Fprintln(r.Err)
			if warned {
				return "", io.EOF
			}
			r.tell(r.Lang.HowToLeave)
			r.showPrompt()
		}
	}
}

func (r *repl) showPrompt() {
	if !r.Prompt {
		return
	}
	prompt := r.Lang.Prompt
	if r.Colour {
		prompt = "\x1b[1;32m" + prompt + "\x1b[0m"
	}
	fmt.Fprint(r.Err, prompt)
}

// say formats one line for the person.
func (r *repl) say(format string, args ...any) { r.tell(fmt.Sprintf(format, args...)) }

// tell writes one line to the person, beside the answers.
func (r *repl) tell(text string) {
	if r.Colour {
		text = "\x1b[2m" + text + "\x1b[0m"
	}
	fmt.Fprintln(r.Err, text)
}

// answer sends a message and prints the answer while it grows. Ctrl-C stops it.
func (r *repl) answer(text string) error {
	ctx, cancel := context.WithCancel(context.Background())
	finished := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-r.Interrupts:
			cancel()
		case <-finished:
		}
	}()
	var outErr error
	answer, err := r.chat.Say(ctx, text, func(part string) {
		if r.Prompt {
			part = strings.Map(visible, part)
		}
		if _, err := io.WriteString(r.Out, part); err != nil && outErr == nil {
			outErr = err
			cancel() // nobody reads on
		}
	})
	close(finished)
	<-watched
	cancel()

	var tooLong *chat.TooLongError
	if errors.As(err, &tooLong) {
		if tooLong.Fit < 1 {
			r.tell(r.Lang.SystemFull)
		} else {
			r.say(r.Lang.TooLong, tooLong.Tokens, tooLong.Fit)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if outErr != nil {
		return fmt.Errorf("the answer cannot be written: %w", outErr)
	}
	if _, err := fmt.Fprintln(r.Out); err != nil {
		return fmt.Errorf("the answer cannot be written: %w", err)
	}
	r.last, r.answered = answer.Stats, true
	r.remark(answer)
	return nil
}

// visible keeps what a model says from moving the cursor or recolouring the screen: control characters but tab and newline
// become U+FFFD.
func visible(c rune) rune {
	if c != '\t' && c != '\n' && unicode.IsControl(c) {
		return '\uFFFD'
	}
	return c
}

// remark says what a person should know about an answer.
func (r *repl) remark(answer chat.Answer) {
	if answer.DroppedTurns > 0 {
		r.say(r.Lang.Forgotten, answer.DroppedTurns)
	}
	switch answer.Stopped {
	case chat.StopMaxTokens:
		r.say(r.Lang.CutLength, answer.Stats.AnswerTokens)
	case chat.StopContext:
		r.tell(r.Lang.CutContext)
	case chat.StopInterrupted:
		r.tell(r.Lang.Interrupted)
	}
}
