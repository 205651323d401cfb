package repl

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"minitron/internal/chat"
	"minitron/internal/engine"
	"minitron/internal/term"
)

func (r *repl) stats(string) {
	used, context := r.chat.Tokens()
	r.say(r.Lang.Stats, r.chat.Turns(), used, context)
	if r.answered {
		s := r.last
		cost := fmt.Sprintf(r.Lang.LastAnswer, s.PromptTokens, s.CachedTokens, s.Prefill.Seconds(), s.AnswerTokens)
		if speed := s.TokensPerSecond(); speed > 0 {
			cost += fmt.Sprintf(r.Lang.LastSpeed, speed)
		}
		r.tell(cost)
	}
}

// probs lists the last answer's tokens, each with what the model found likelier where it did.
func (r *repl) probs(string) (bool, error) {
	var odds []chat.Odds
	var err error
	r.interruptible(func(ctx context.Context, _ func()) { odds, err = r.chat.Odds(ctx) })
	if err != nil && !errors.Is(err, context.Canceled) {
		return false, err
	}
	if len(odds) == 0 && err == nil {
		r.tell(r.Lang.NothingYet)
		return false, nil
	}
	var text strings.Builder
	for _, o := range odds {
		text.WriteString(percent(o.Probability) + "  " + spelt(o.Token))
		if o.Best != o.Token {
			text.WriteString("   (" + spelt(o.Best) + " " + strings.TrimSpace(percent(o.BestProbability)) + ")")
		}
		text.WriteByte('\n')
	}
	if err != nil {
		text.WriteString(r.Lang.Interrupted)
	}
	r.tell(strings.TrimSuffix(text.String(), "\n"))
	return false, nil
}

// percent is a probability in so many characters that columns align.
func percent(p float64) string { return fmt.Sprintf("%5.1f%%", 100*p) }

// spelt is a token of a vocabulary as it can be shown.
func spelt(token string) string { return term.Plain(token) }

func (r *repl) tokens(text string) {
	if text == "" {
		r.say(r.Lang.NeedsText, "/tokens")
		return
	}
	pieces := r.chat.Pieces(text)
	r.say(r.Lang.Pieces, len(pieces), spelt(strings.Join(pieces, " | ")))
}

// How much /bench reads and writes: a second or two for the largest models.
const benchRead, benchWritten = 128, 32

func (r *repl) bench(string) (bool, error) {
	var speed engine.Speed
	var err error
	r.interruptible(func(ctx context.Context, _ func()) { speed, err = r.chat.Measure(ctx, benchRead, benchWritten) })
	switch {
	case errors.Is(err, context.Canceled):
		r.tell(r.Lang.Interrupted)
	case err != nil:
		return false, err
	default:
		r.say(r.Lang.Bench, speed.Read, speed.ReadTPS, speed.Written, speed.WrittenTPS, speed.Threads)
	}
	return false, nil
}
