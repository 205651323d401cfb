package repl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"minitron-chat/internal/chat"
)

// answer sends a message in the way of say and prints the answer while it grows. Ctrl-C stops it.
func (r *repl) answer(text string, say func(context.Context, string, func(string)) (chat.Answer, error)) error {
	var answer chat.Answer
	var err, outErr error
	r.interruptible(func(ctx context.Context, cancel func()) {
		answer, err = say(ctx, text, func(part string) {
			if r.Prompt {
				part = strings.Map(visible, part)
			}
			if _, err := io.WriteString(r.Out, part); err != nil && outErr == nil {
				outErr = err
				cancel() // nobody reads on
			}
		})
	})

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
