package engine

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"minitron/internal/bundle"
	"minitron/internal/sample"
)

// Stop says why an answer ended.
type Stop string

const (
	StopEnd         Stop = "end"         // the model ended it
	StopMaxTokens   Stop = "max_tokens"  // the limit of the caller
	StopContext     Stop = "context"     // the context is full; never of a text
	StopSequence    Stop = "stop"        // a text of the caller came
	StopInterrupted Stop = "interrupted" // the caller's ctx was cancelled
)

// Answer is one answer of the model.
type Answer struct {
	Text          string // up to a stop sequence
	IDs           []int  // without the end marker
	Stopped       Stop
	DroppedTokens int // how many of the oldest tokens of a text the model saw no more in the end
	Stats         Stats
}

// Stats says what an answer cost.
type Stats struct {
	PromptTokens int // the whole prompt, also what of a text the model did not see
	CachedTokens int // of these, how many were known from the answer before
	AnswerTokens int
	Prefill      time.Duration // from the prompt to the first token
	Decode       time.Duration // the other tokens
	DecodePasses int           // how many forward passes Decode took: each gave a token, or the end
}

// TokensPerSecond returns how fast the answer was written after its first token, 0 where nothing was.
func (s Stats) TokensPerSecond() float64 {
	if s.DecodePasses == 0 || s.Decode <= 0 {
		return 0
	}
	return float64(s.DecodePasses) / s.Decode.Seconds()
}

// Request says what is to be written.
type Request struct {
	Prompt      []int
	Unseen      int   // of a text: how many tokens stand before Prompt, all out of the model's sight
	Before      []int // the end of Prompt that the answer continues as text; none where it begins one
	MaxTokens   int
	Stops       []string // the answer ends before the first of these to be complete
	Logprobs    bool     // with the tokens' log-probabilities
	TopLogprobs int      // of how many other tokens beside each, at most MaxTopLogprobs
}

// Part is what an answer grew by.
type Part struct {
	Text   string  // whole characters
	Tokens []Token // those that begin in Text; none unless asked for
}

// Generate continues a prompt. on gets the answer in parts while it grows; its error ends the work and is returned.
// A cancelled ctx is no error: it ends the answer early.
func (q *Sequence) Generate(ctx context.Context, r Request, sampler *sample.Sampler, on func(Part) error) (Answer, error) {
	ids := slices.Clone(r.Prompt)
	fits := q.engine.Config.Model.Longest()
	if q.engine.ContinuesText() {
		fits = math.MaxInt
	}
	answer := Answer{Stats: Stats{PromptTokens: r.Unseen + len(r.Prompt)}}
	end := q.engine.Tokenizer.Chat().End()
	w := newWriter(q.engine, r, on)
	began := time.Now()
	for answer.Stopped == "" {
		logits, err := q.after(ctx, q.engine.Window(ids), len(ids) > len(r.Prompt))
		if err != nil {
			if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
				return Answer{}, err
			}
			answer.Stopped = StopInterrupted
			break
		}
		if len(ids) == len(r.Prompt) {
			answer.Stats.Prefill = time.Since(began)
			answer.Stats.CachedTokens = q.reused
			began = time.Now()
		} else {
			answer.Stats.DecodePasses++
		}
		id := sampler.Next(logits, ids[len(r.Prompt):])
		if id == end {
			answer.Stopped = StopEnd
			break
		}
		ids = append(ids, id)
		found, err := w.push(id, logits)
		switch {
		case err != nil:
			return Answer{}, err
		case found:
			answer.Stopped = StopSequence
		case len(ids)-len(r.Prompt) >= r.MaxTokens:
			answer.Stopped = StopMaxTokens
		case len(ids) == fits:
			answer.Stopped = StopContext
		}
	}
	if answer.Stopped != StopSequence {
		found, err := w.finish()
		if err != nil {
			return Answer{}, err
		}
		if found { // in what was left of a character
			answer.Stopped = StopSequence
		}
	}
	answer.Stats.Decode = time.Since(began)
	answer.IDs = ids[len(r.Prompt):]
	answer.DroppedTokens = r.Unseen + len(ids) - len(q.engine.Window(ids))
	answer.Stats.AnswerTokens = len(answer.IDs)
	answer.Text = w.said.String()
	return answer, nil
}

// NewSampler makes a sampler that never chooses what no answer may hold.
func (e *Engine) NewSampler(seed uint64) *sample.Sampler {
	return sample.New(sample.Params{}, seed, e.Tokenizer.Size(), e.NeverSampled())
}

// Params returns how to choose by a model's settings.
func Params(s bundle.Sampling) sample.Params {
	return sample.Params{Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, MinP: s.MinP, RepeatPenalty: s.RepeatPenalty}
}

// heldBack returns how many bytes at the end of text may begin one of stops.
func heldBack(text string, stops []string) (most int) {
	for _, stop := range stops {
		for n := min(len(stop)-1, len(text)); n > most; n-- {
			if strings.HasSuffix(text, stop[:n]) {
				most = n
			}
		}
	}
	return most
}

// findStop returns where the stop begins that is complete first, the longest of those; -1 when none is there.
func findStop(text string, stops []string) (at int) {
	at, end := -1, len(text)+1
	for _, stop := range stops {
		if i := strings.Index(text, stop); i >= 0 && (i+len(stop) < end || i+len(stop) == end && i < at) {
			at, end = i, i+len(stop)
		}
	}
	return at
}
