package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"minitron"
	"minitron/internal/bundle"
	"minitron/internal/chat"
	"minitron/internal/edit"
	"minitron/internal/engine"
	"minitron/internal/fault"
	"minitron/internal/home"
	"minitron/internal/labels"
	"minitron/internal/lang"
	"minitron/internal/repl"
	"minitron/internal/term"
)

// chatInTerminal chats in the terminal: what the program does without a command.
func chatInTerminal(o *options, stdin *os.File, stdout io.Writer) error {
	e, err := openEngine(o)
	if err != nil {
		return err
	}
	interrupts := make(chan os.Signal, 1)
	if term.IsTerminal(stdin) { // elsewhere nobody could say what comes next: Ctrl-C ends the program
		signal.Notify(interrupts, os.Interrupt)
		defer signal.Stop(interrupts)
	}
	defer term.Prepare()()

	r := repl.Options{
		In:         stdin,
		Out:        stdout,
		Err:        os.Stderr,
		Interrupts: interrupts,
		Lang:       lang.Detect(),
		Prompt:     term.IsTerminal(stdin) && term.IsTerminal(os.Stderr),
		Colour:     term.WantsColour(os.Stdout) && term.WantsColour(os.Stderr),
		Name:       e.Config.Name,
		Greeting:   e.Config.Greeting,
		Questions:  e.Config.Questions,
		Labels:     labels.Open(labels.Model{Name: e.Config.Name, SHA256: e.Config.Weights.SHA256}),
	}
	if term.IsTerminal(os.Stdout) {
		r.Columns = func() int { return term.Columns(os.Stdout) }
	}
	if term.IsTerminal(os.Stderr) {
		r.ErrColumns = func() int { return term.Columns(os.Stderr) }
	}
	if terminal := term.Open(stdin, os.Stderr); terminal != nil {
		defer terminal.Close()
		history := edit.OpenHistory(home.Path("history"))
		r.Editor = &edit.Reader{Terminal: terminal, Interrupts: interrupts, History: history, Colour: r.Colour}
	}
	return repl.Run(startChat(o, e), r)
}

// startChat starts a conversation with the settings of the command line over the model's own.
func startChat(o *options, e *engine.Engine) *chat.Chat {
	system := e.Config.System
	if o.set["system"] {
		system = o.system
	}
	return chat.New(e, system, o.sampling(e.Config.Sampling), o.seedOrRandom())
}

// chatOptions returns the options of a conversation: a model's usual sampling settings with those of the command line over
// them.
func (o *options) chatOptions(usual minitron.Sampling) []minitron.ChatOption {
	all := []minitron.ChatOption{
		minitron.WithSampling(minitron.Sampling(o.sampling(bundle.Sampling(usual)))),
		minitron.WithSeed(o.seedOrRandom()),
	}
	if o.set["system"] {
		all = append(all, minitron.WithSystem(o.system))
	}
	return all
}

// maxPipedBytes bounds how much -p reads from standard input: far more than fits any model.
const maxPipedBytes = 1 << 26

// question returns what -p asks: its text, preceded by what a file or a pipe on stdin holds. With "-p -" it is what stdin
// holds, alone.
func question(text string, stdin *os.File) (string, error) {
	about, err := stdin.Stat()
	piped := err == nil && (about.Mode().IsRegular() || about.Mode()&os.ModeNamedPipe != 0)
	if text != "-" && !piped {
		return text, nil
	}
	data, err := io.ReadAll(io.LimitReader(stdin, maxPipedBytes+1))
	if err != nil {
		return "", fmt.Errorf("standard input cannot be read: %w", err)
	}
	before := strings.TrimRight(strings.TrimPrefix(string(data), byteOrderMark), "\r\n")
	switch {
	case len(data) > maxPipedBytes:
		return "", fault.New("", "standard input is larger than 64 MiB")
	case text != "-" && before != "":
		return before + "\n" + text, nil
	case text != "-":
		return text, nil
	case before == "":
		return "", fault.New("pipe a text into it, or give it one: -p TEXT", "there is nothing on standard input")
	}
	return before, nil
}

// answerOnce writes one answer to stdout while it grows.
func answerOnce(o *options, stdin *os.File, stdout io.Writer) error {
	text, err := question(o.text, stdin)
	if err != nil {
		return err
	}
	m, err := openModel(o)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	defer term.Prepare()()

	shown := term.IsTerminal(os.Stdout)
	for part, err := range m.NewChat(o.chatOptions(m.Info().Sampling)...).Say(ctx, text) {
		if err != nil && err != ctx.Err() {
			return err
		}
		if shown {
			part = term.Plain(part)
		}
		if _, err := io.WriteString(stdout, part); err != nil {
			return fmt.Errorf("the answer cannot be written: %w", err)
		}
	}
	if _, err := fmt.Fprintln(stdout); err != nil {
		return fmt.Errorf("the answer cannot be written: %w", err)
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	return nil
}

// completion is an input line of `complete`: a dialogue or, for a base model, a text.
type completion struct {
	Messages  []minitron.Message `json:"messages"`
	Text      *string            `json:"text"`
	MaxTokens *int               `json:"max_tokens"`
}

// completed is an output line of `complete`.
type completed struct {
	Text         string `json:"text"`
	IDs          []int  `json:"ids"` // without the end marker
	Stopped      string `json:"stopped"`
	DroppedTurns int    `json:"dropped_turns,omitzero"`
}

// complete answers one dialogue, or continues one text, per line, each with the same seed and independently of the others.
// Decoding is greedy, unless flags say otherwise.
func complete(o *options, stdin io.Reader, stdout io.Writer) error {
	m, err := openModel(o)
	if err != nil {
		return err
	}
	if err := m.Ready(); err != nil {
		return err
	}
	usual := m.Info().Sampling
	usual.Temperature, usual.RepeatPenalty = 0, 1
	usual = minitron.Sampling(o.sampling(bundle.Sampling(usual)))
	seed := o.seedOrRandom()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	want := errors.New(`it is not {"messages": [{"role": ..., "content": ...}, ...]}`)
	if m.ContinuesText() {
		want = errors.New(`it is neither {"text": "..."} nor {"messages": [{"role": ..., "content": ...}, ...]}`)
	}
	return eachLine(untilDone{ctx, stdin}, stdout, func(line []byte) (any, error) {
		var c completion
		if err := json.Unmarshal(line, &c); err != nil {
			return nil, want
		}
		if len(c.Messages) == 0 && c.Text != nil && m.ContinuesText() {
			c.Messages = []minitron.Message{{Role: "user", Content: *c.Text}}
		}
		if c.Messages == nil {
			return nil, want
		}
		sampling := usual
		if c.MaxTokens != nil {
			if *c.MaxTokens < 1 {
				return nil, fmt.Errorf("max_tokens is %d, it must be at least 1", *c.MaxTokens)
			}
			sampling.MaxTokens = *c.MaxTokens
		}
		conversation := m.NewChat(minitron.WithSampling(sampling), minitron.WithSeed(seed))
		last, err := conversation.Resume(c.Messages)
		if err != nil {
			return nil, err
		}
		for _, err := range conversation.Say(ctx, last) {
			if err == ctx.Err() && err != nil {
				return nil, errInterrupted
			}
			if err != nil {
				return nil, err
			}
		}
		a := conversation.Answer()
		return completed{a.Text, a.IDs, a.Stopped, a.DroppedTurns}, nil
	})
}
