package repl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"minitron/internal/chat"
	"minitron/internal/engine"
	"minitron/internal/term"
)

// answer sends a message by calling say, and prints the answer while it grows. Ctrl-C stops it.
func (r *repl) answer(text string, say func(context.Context, string, func(string)) (chat.Answer, error)) error {
	var answer chat.Answer
	var err, outErr error
	out := &wrapper{out: r.Out, columns: r.Columns}
	var whole strings.Builder // the answer, if its tokens are shown first
	var shown io.Writer = out
	if r.live {
		shown = &whole
		r.told = 0
		r.chat.Watch = func(odds chat.Odds) {
			r.told++
			r.tell(oddsLine(r.told, odds))
		}
		defer func() { r.chat.Watch = nil }()
	}
	typed := "" // what is printed before the answer
	if r.Prompt && r.chat.ContinuesText() {
		typed = text // the line that was typed ended with Enter: it is printed again, so that the text goes on right behind it
	}
	r.interruptible(func(ctx context.Context, cancel func()) {
		answer, err = say(ctx, text, func(part string) {
			part, typed = typed+part, ""
			if r.Prompt || r.Columns != nil {
				part = term.Plain(part)
			}
			if _, err := io.WriteString(shown, part); err != nil && outErr == nil {
				outErr = err
				cancel() // nobody reads on
			}
		})
	})

	if err != nil {
		return r.refuse(err)
	}
	if outErr == nil {
		_, outErr = io.WriteString(out, whole.String())
	}
	if outErr == nil {
		outErr = out.flush()
	}
	if outErr == nil {
		_, outErr = fmt.Fprintln(r.Out)
	}
	if outErr != nil {
		return fmt.Errorf("the answer cannot be written: %w", outErr)
	}
	r.last, r.answered = answer.Stats, true
	r.remark(answer)
	return nil
}

// refuse tells why there is no answer; an error that says nothing to a person is returned.
func (r *repl) refuse(err error) error {
	var tooLong *chat.TooLongError
	switch {
	case errors.As(err, &tooLong) && tooLong.Fit < 1:
		r.tell(r.Lang.SystemFull)
	case tooLong != nil:
		r.say(r.Lang.TooLong, tooLong.Tokens, tooLong.Fit)
	case errors.Is(err, chat.ErrNoTokens):
		r.tell(r.Lang.NoTokens)
	case errors.Is(err, errNoBranch):
		r.tell(r.Lang.NoBranch)
	case errors.Is(err, context.Canceled): // before anything was written
		r.tell(r.Lang.Interrupted)
	default:
		return err
	}
	return nil
}

// remark tells what a person should know about an answer.
func (r *repl) remark(answer chat.Answer) {
	if answer.DroppedTurns+answer.DroppedTokens > 0 && !r.forgot { // from now on that happens at every answer
		r.tell(r.Lang.Forgotten)
		r.forgot = true
	}
	switch answer.Stopped {
	case engine.StopEnd:
		if answer.Stats.AnswerTokens == 0 {
			r.tell(r.Lang.Ended)
		}
	case engine.StopMaxTokens:
		r.say(r.Lang.CutLength, answer.Stats.AnswerTokens)
	case engine.StopContext:
		r.tell(r.Lang.CutContext)
	case engine.StopInterrupted:
		r.tell(r.Lang.Interrupted)
	}
}
