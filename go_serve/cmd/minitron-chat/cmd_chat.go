package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"minitron/internal/chat"
	"minitron/internal/edit"
	"minitron/internal/lang"
	"minitron/internal/repl"
	"minitron/internal/term"
)

// chatInTerminal is what a friend gets who starts the program.
func chatInTerminal(o *options, stdin *os.File, stdout io.Writer) error {
	engine, err := load(o)
	if err != nil {
		return err
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	defer term.Prepare()()

	r := repl.Options{
		In:         stdin,
		Out:        stdout,
		Err:        os.Stderr,
		Interrupts: interrupts,
		Lang:       lang.Detect(),
		Prompt:     term.IsTerminal(stdin) && term.IsTerminal(os.Stderr),
		Colour:     term.WantsColour(os.Stdout) && term.WantsColour(os.Stderr),
		Name:       engine.Config.Name,
		Greeting:   engine.Config.Greeting,
		Questions:  engine.Config.Questions,
	}
	if term.IsTerminal(os.Stdout) && r.Prompt {
		r.Columns = func() int { return term.Columns(os.Stdout) }
	}
	if terminal := term.Open(stdin, os.Stderr); terminal != nil {
		defer terminal.Close()
		history := edit.OpenHistory(edit.HistoryPath())
		r.Editor = &edit.Reader{Terminal: terminal, Interrupts: interrupts, History: history, Colour: r.Colour}
	}
	return repl.Run(startChat(o, engine), r)
}

// startChat begins a conversation as the command line wants it.
func startChat(o *options, engine *chat.Engine) *chat.Chat {
	system := engine.Config.System
	if o.set["system"] {
		system = o.system
	}
	return engine.New(system, o.sampling(engine.Config.Sampling), o.seedOrRandom())
}

// answerOnce writes one answer to stdout while it grows.
func answerOnce(o *options, stdout io.Writer) error {
	engine, err := load(o)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer term.Prepare()()

	var writeErr error
	shown := term.IsTerminal(os.Stdout)
	answer, err := startChat(o, engine).Say(ctx, o.text, func(part string) {
		if shown {
			part = term.Plain(part)
		}
		if _, err := io.WriteString(stdout, part); err != nil && writeErr == nil {
			writeErr = err
			cancel()
		}
	})
	if err != nil {
		return err
	}
	if writeErr == nil {
		_, writeErr = fmt.Fprintln(stdout)
	}
	if writeErr != nil {
		return fmt.Errorf("the answer cannot be written: %w", writeErr)
	}
	if answer.Stopped == chat.StopInterrupted {
		return errInterrupted
	}
	return nil
}

// completion is a line of `complete`.
type completion struct {
	Messages  []chat.Message `json:"messages"`
	MaxTokens *int           `json:"max_tokens"`
}

// completed is what `complete` answers.
type completed struct {
	Text         string    `json:"text"`
	IDs          []int     `json:"ids"` // without the end marker
	Stopped      chat.Stop `json:"stopped"`
	DroppedTurns int       `json:"dropped_turns,omitzero"`
}

// complete answers one dialogue per line, each as if it were the first: greedy, unless flags say otherwise.
func complete(o *options, stdin io.Reader, stdout io.Writer) error {
	engine, err := load(o)
	if err != nil {
		return err
	}
	if err := engine.Ready(); err != nil {
		return err
	}
	sampling := engine.Config.Sampling
	sampling.Temperature, sampling.RepeatPenalty = 0, 1
	sampling = o.sampling(sampling)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	seed := o.seedOrRandom()
	return eachLine(stdin, stdout, func(line []byte) (any, error) {
		var c completion
		if err := json.Unmarshal(line, &c); err != nil || c.Messages == nil {
			return nil, errors.New(`it is not {"messages": [{"role": ..., "content": ...}, ...]}`)
		}
		conversation := engine.New("", sampling, seed)
		if c.MaxTokens != nil {
			if *c.MaxTokens < 1 {
				return nil, fmt.Errorf("max_tokens is %d, it must be at least 1", *c.MaxTokens)
			}
			conversation.Sampling.MaxTokens = *c.MaxTokens
		}
		last, err := conversation.Resume(c.Messages)
		if err != nil {
			return nil, err
		}
		a, err := conversation.Say(ctx, last, nil)
		if err != nil {
			return nil, err
		}
		if a.Stopped == chat.StopInterrupted {
			return nil, errInterrupted
		}
		return completed{a.Text, a.IDs, a.Stopped, a.DroppedTurns}, nil
	})
}
