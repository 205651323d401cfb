package repl

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"minitron/internal/chat"
	"minitron/internal/engine"
	"minitron/internal/term"
)

func (r *repl) stats(string) {
	used, context := r.chat.Tokens()
	if kept := r.chat.MemoryBytes(); kept > 0 {
		r.say(r.Lang.StatsNoEnd, r.chat.Turns(), used, float64(kept)/(1<<20))
	} else {
		r.say(r.Lang.Stats, r.chat.Turns(), used, context)
	}
	if r.answered {
		s := r.last
		cost := fmt.Sprintf(r.Lang.LastAnswer, s.PromptTokens, s.CachedTokens, s.Prefill.Seconds(), s.AnswerTokens)
		if speed := s.TokensPerSecond(); speed > 0 {
			cost += fmt.Sprintf(r.Lang.LastSpeed, speed)
		}
		r.tell(cost)
	}
}

// probs lists the tokens of the last answer, each with its probability and the likeliest others. "on" and "off" set whether
// tokens are shown so while they are written.
func (r *repl) probs(rest string) (bool, error) {
	switch strings.ToLower(rest) {
	case "on":
		r.live = true
		r.tell(r.Lang.ProbsOn)
		return false, nil
	case "off":
		r.live = false
		r.tell(r.Lang.ProbsOff)
		return false, nil
	}
	var odds []chat.Odds
	var err error
	r.interruptible(func(ctx context.Context, _ func()) { odds, err = r.chat.Odds(ctx) })
	if err != nil && !errors.Is(err, context.Canceled) {
		return false, err
	}
	if len(odds) == 0 && err == nil {
		r.noTrace()
		return false, nil
	}
	for i, o := range odds {
		r.tell(oddsLine(i+1, o))
	}
	if err != nil {
		r.tell(r.Lang.Interrupted)
	}
	return false, nil
}

// noTrace says why there are no tokens to show: nothing was said, or what was said last was loaded, empty, or answered before
// something that was taken back.
func (r *repl) noTrace() {
	if r.chat.Turns() == 0 {
		r.tell(r.Lang.NothingYet)
	} else {
		r.tell(r.Lang.NoTrace)
	}
}

// oddsLine formats a token with its number, and its others with theirs; /branch takes these numbers.
func oddsLine(number int, o chat.Odds) string {
	var others []string
	for i, other := range o.Others {
		others = append(others, fmt.Sprintf("%d: %s %s", i+1, spelt(other.Token), strings.TrimSpace(percent(other.Probability))))
	}
	return fmt.Sprintf("%3d  %s  %s   (%s)", number, percent(o.Probability), spelt(o.Token), strings.Join(others, ", "))
}

// branch goes back to a token of the last answer and takes another in its place: the one with the given number, by default the
// first of the others.
func (r *repl) branch(rest string) (bool, error) {
	if r.chat.Written() == 0 {
		r.noTrace()
		return false, nil
	}
	fields := strings.Fields(rest)
	number := func(at, otherwise int) int {
		if at >= len(fields) {
			return otherwise
		}
		n, err := strconv.Atoi(fields[at])
		if err != nil {
			return 0
		}
		return n
	}
	at, other := number(0, 0), number(1, 1)
	if at < 1 || at > r.chat.Written() || len(fields) > 2 {
		r.say(r.Lang.NotANumber, "/branch", 1, r.chat.Written())
		return false, nil
	}
	text, _ := r.chat.Last()
	return false, r.answer(text, func(ctx context.Context, _ string, onText func(string)) (chat.Answer, error) {
		r.told = at // the new one and those before it stand already
		answer, ok, err := r.chat.Branch(ctx, at-1, other-1, onText)
		if err == nil && !ok {
			err = errNoBranch
		}
		return answer, err
	})
}

// errNoBranch says that a token has no other with that number.
var errNoBranch = errors.New("no such branch")

// percent formats a probability with a fixed width, so that columns align.
func percent(p float64) string { return fmt.Sprintf("%5.1f%%", 100*p) }

// spelt returns a token of the vocabulary in a form that can be shown.
func spelt(token string) string { return term.Plain(token) }

// tokens shows how a text is cut into tokens; without a text, all that the model saw and wrote last.
func (r *repl) tokens(text string) {
	pieces := r.chat.Pieces(text)
	if text == "" {
		pieces = r.chat.Seen()
	}
	if text == "" && len(pieces) == 0 {
		r.noTrace()
		return
	}
	r.say(r.Lang.Pieces, len(pieces), spelt(strings.Join(pieces, " | ")))
}

// How many tokens /bench reads and writes: this takes a second or two with the largest models.
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
