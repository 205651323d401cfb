package chat

import (
	"context"
	"errors"
	"strings"
	"time"

	"minitron-chat/internal/bundle"
	"minitron-chat/internal/model"
	"minitron-chat/internal/sample"
)

// Stop says why an answer ended.
type Stop string

const (
	StopEnd         Stop = "end"         // the model ended it
	StopMaxTokens   Stop = "max_tokens"  // the limit of the caller
	StopContext     Stop = "context"     // the context is full
	StopInterrupted Stop = "interrupted" // the caller's ctx was cancelled
)

// Answer is one answer of the model.
type Answer struct {
	Text         string
	IDs          []int // without the end marker
	Stopped      Stop
	DroppedTurns int // how many of the oldest turns were forgotten to make room
	Stats        Stats
}

// Stats says what an answer cost.
type Stats struct {
	PromptTokens int // the whole prompt
	CachedTokens int // of these, how many were known from the answer before
	AnswerTokens int
	Prefill      time.Duration // from the prompt to the first token
	Decode       time.Duration // the other tokens
}

// Chat is one conversation. It is used by one goroutine.
type Chat struct {
	Sampling bundle.Sampling // may be changed between answers

	engine  *Engine
	state   *model.State
	sampler *sample.Sampler
	seed    uint64 // of the sampler
	system  string
	turns   []turn
	asked   int   // how many of written are the prompt
	written []int // the last prompt and its answer
}

// turn is what the person said and what the model answered.
type turn struct {
	user, answer []int
	text         string // of the person: ids may stand for a normalised text
}

// New starts a conversation. An empty system sends no system message.
func (e *Engine) New(system string, sampling bundle.Sampling, seed uint64) *Chat {
	return &Chat{
		Sampling: sampling,
		engine:   e,
		sampler:  sample.New(sample.Params{}, seed, e.Tokenizer.Size(), e.NeverSampled()),
		seed:     seed,
		system:   system,
	}
}

// System returns the system message, "" when there is none.
func (c *Chat) System() string { return c.system }

// SetSystem replaces the system message; the turns stay.
func (c *Chat) SetSystem(text string) { c.system = text }

// Reset forgets all turns; the system message stays.
func (c *Chat) Reset() { c.turns = nil }

// Turns returns how many turns are remembered.
func (c *Chat) Turns() int { return len(c.turns) }

// Tokens returns how many tokens the remembered conversation takes, and how many fit.
func (c *Chat) Tokens() (used, context int) {
	used = len(c.systemIDs())
	for _, t := range c.turns {
		used += t.size()
	}
	return used, c.engine.Config.Model.Context
}

// Say sends the person's next message and returns the answer. onText (may be nil) gets the answer's text while it
// grows, in whole characters. A cancelled ctx ends the answer early: what was said so far is kept and returned. After an
// error the conversation is as it was before.
func (c *Chat) Say(ctx context.Context, text string, onText func(string)) (Answer, error) {
	if err := c.prepare(); err != nil {
		return Answer{}, err
	}
	user := c.engine.Tokenizer.Encode(text)
	prompt, dropped, err := c.prompt(user)
	if err != nil {
		return Answer{}, err
	}
	answer, err := c.generate(ctx, prompt, onText)
	if err != nil {
		return Answer{}, err
	}
	answer.DroppedTurns = dropped
	c.turns = c.turns[dropped:]
	if answer.Stopped != StopInterrupted || len(answer.IDs) > 0 {
		c.turns = append(c.turns, turn{user, answer.IDs, text})
	}
	return answer, nil
}

// prepare makes the state: not before it is needed, as what it takes may not be known when the greeting is shown.
func (c *Chat) prepare() (err error) {
	if c.state == nil {
		c.state, err = c.engine.NewState()
	}
	return err
}

// generate writes an answer after prompt.
func (c *Chat) generate(ctx context.Context, prompt []int, onText func(string)) (Answer, error) {
	s := c.Sampling
	c.sampler.Params = sample.Params{Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, MinP: s.MinP, RepeatPenalty: s.RepeatPenalty}
	ids := append(make([]int, 0, c.engine.Config.Model.Context), prompt...)
	answer := Answer{Stats: Stats{PromptTokens: len(prompt)}}
	var text strings.Builder
	emit := func(part string) {
		text.WriteString(part)
		if onText != nil && part != "" {
			onText(part)
		}
	}
	decoder := c.engine.Tokenizer.NewDecoder()
	began := time.Now()
	for answer.Stopped == "" {
		logits, err := c.state.Logits(ctx, ids)
		if errors.Is(err, context.Canceled) {
			answer.Stopped = StopInterrupted
			break
		}
		if err != nil {
			return Answer{}, err
		}
		if len(ids) == len(prompt) {
			answer.Stats.Prefill = time.Since(began)
			answer.Stats.CachedTokens = c.state.Reused()
			began = time.Now()
		}
		id := c.sampler.Next(logits, ids[len(prompt):])
		if id == c.engine.Tokenizer.Chat().End {
			answer.Stopped = StopEnd
			break
		}
		ids = append(ids, id)
		emit(decoder.Push(id))
		switch {
		case len(ids)-len(prompt) >= s.MaxTokens:
			answer.Stopped = StopMaxTokens
		case len(ids) == cap(ids):
			answer.Stopped = StopContext
		}
	}
	emit(decoder.Flush())
	answer.Stats.Decode = time.Since(began)
	answer.IDs = ids[len(prompt):]
	c.asked, c.written = len(prompt), ids
	answer.Stats.AnswerTokens = len(answer.IDs)
	answer.Text = text.String()
	return answer, nil
}
