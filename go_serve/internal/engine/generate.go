package engine

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"minitron/internal/bundle"
	"minitron/internal/clock"
	"minitron/internal/sample"
)

// Stop says why an answer ended.
type Stop string

const (
	StopEnd         Stop = "end"         // the model ended it
	StopMaxTokens   Stop = "max_tokens"  // the caller's limit was reached
	StopContext     Stop = "context"     // the context is full; does not happen to a base model's text
	StopSequence    Stop = "stop"        // one of the caller's stop sequences came
	StopInterrupted Stop = "interrupted" // the caller's ctx was cancelled
)

// Answer is one answer of the model.
type Answer struct {
	Text          string // up to a stop sequence
	IDs           []int  // without the end marker
	Stopped       Stop
	DroppedTokens int // how many of the oldest tokens of a text the model no longer saw in the end
	Stats         Stats
}

// Stats says how much an answer took.
type Stats struct {
	PromptTokens int // the whole prompt, with the tokens of a text that the model did not see
	CachedTokens int // how many of them were in the cache
	AnswerTokens int
	Prefill      time.Duration // from the prompt to the first token
	Decode       time.Duration // the other tokens
	DecodePasses int           // how many forward passes Decode took: each gave a token, or the end marker
}

// TokensPerSecond returns how fast the answer was written after its first token, or 0 if nothing was.
func (s Stats) TokensPerSecond() float64 {
	if s.DecodePasses == 0 || s.Decode <= 0 {
		return 0
	}
	return float64(s.DecodePasses) / s.Decode.Seconds()
}

// Request says what is to be written.
type Request struct {
	Prompt      []int
	Unseen      int   // for a text: how many of its tokens stand before Prompt, out of the model's sight
	Before      []int // the end of Prompt that the answer continues as text; empty if the answer begins a text
	MaxTokens   int
	Stops       []string // the answer ends before the one of these that is complete first
	Logprobs    bool     // whether parts come with tokens and their log-probabilities
	TopLogprobs int      // how many of the likeliest tokens come with each, at most MaxTopLogprobs
	TopPossible bool     // whether these are only tokens that an answer may hold
}

// Part is one step by which an answer grows.
type Part struct {
	Text   string  // whole characters
	Tokens []Token // those that begin in Text; none unless asked for
}

// Generate continues a prompt. on gets the answer in parts while it grows; an error of on ends the work and is returned. A
// cancelled ctx is no error: it ends the answer early.
func (q *Sequence) Generate(ctx context.Context, r Request, sampler *sample.Sampler, on func(Part) error) (Answer, error) {
	ids := slices.Clone(r.Prompt)
	fits := q.engine.Config.Model.Longest()
	if q.engine.ContinuesText() {
		fits = math.MaxInt
	}
	answer := Answer{Stats: Stats{PromptTokens: r.Unseen + len(r.Prompt)}}
	end := q.engine.Tokenizer.Chat().End()
	w := newWriter(q.engine, r, on)
	began := clock.Now()
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
			answer.Stats.Prefill = clock.Since(began)
			answer.Stats.CachedTokens = q.reused
			began = clock.Now()
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
		if found { // in the rest of an incomplete character
			answer.Stopped = StopSequence
		}
	}
	answer.Stats.Decode = clock.Since(began)
	answer.IDs = ids[len(r.Prompt):]
	answer.DroppedTokens = r.Unseen + len(ids) - len(q.engine.Window(ids))
	answer.Stats.AnswerTokens = len(answer.IDs)
	answer.Text = w.said.String()
	return answer, nil
}

// NewSampler makes a sampler that never chooses a token that no answer may hold.
func (e *Engine) NewSampler(seed uint64) *sample.Sampler {
	return sample.New(sample.Params{}, seed, e.Tokenizer.Size(), e.NeverSampled())
}

// Params turns a model's settings into those of a sampler.
func Params(s bundle.Sampling) sample.Params {
	return sample.Params{Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, MinP: s.MinP, RepeatPenalty: s.RepeatPenalty}
}

// heldBack returns how many bytes at the end of text must be held back because they may begin one of stops.
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

// findStop returns where in text the stop begins that is complete first, the longest if several end there; -1 if there is none.
func findStop(text string, stops []string) (at int) {
	at, end := -1, len(text)+1
	for _, stop := range stops {
		if i := strings.Index(text, stop); i >= 0 && (i+len(stop) < end || i+len(stop) == end && i < at) {
			at, end = i, i+len(stop)
		}
	}
	return at
}
