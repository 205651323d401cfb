package chat

import (
	"context"
	"slices"

	"minitron/internal/bundle"
	"minitron/internal/sample"
)

// Chat is one conversation, or, with a model that continues text, a list of texts that know nothing of each other: what was
// typed and how it went on are then the two parts of a turn. It is used by one goroutine.
type Chat struct {
	Sampling bundle.Sampling // may be changed between answers

	engine   *Engine
	sequence *Sequence
	sampler  *sample.Sampler
	seed     uint64 // of the sampler
	system   string
	turns    []turn
	asked    int   // how many of written are the prompt
	written  []int // the last prompt and its answer
}

// turn is what the person said and what the model answered.
type turn struct {
	user, answer []int
	text         string // of the person: ids may stand for a normalised text
}

// New starts a conversation. An empty system sends no system message, a model that continues text knows none.
func (e *Engine) New(system string, sampling bundle.Sampling, seed uint64) *Chat {
	if e.ContinuesText() {
		system = ""
	}
	return &Chat{
		Sampling: sampling,
		engine:   e,
		sampler:  e.NewSampler(seed),
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

// ContinuesText reports whether the model continues text, rather than answering messages.
func (c *Chat) ContinuesText() bool { return c.engine.ContinuesText() }

// Tokens returns how many tokens the remembered conversation takes, and how many fit. Of texts only the last one counts, as
// far as the model sees it.
func (c *Chat) Tokens() (used, context int) {
	if c.ContinuesText() {
		if len(c.turns) > 0 {
			last := c.turns[len(c.turns)-1]
			used = len(c.engine.Window(slices.Concat(last.user, last.answer)))
		}
		return used, c.engine.Config.Model.Context
	}
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
	return c.grow(ctx, turn{user: c.engine.Tokenizer.Encode(text), text: text}, c.reserve(), onText)
}

// More lets the last turn's answer go on where it ended, and returns what came. There must be a turn.
func (c *Chat) More(ctx context.Context, onText func(string)) (Answer, error) {
	turns, last := c.turns, c.turns[len(c.turns)-1]
	free := c.engine.Config.Model.Context - len(c.systemIDs()) - markers - len(last.user) - len(last.answer)
	if free < 1 && !c.ContinuesText() {
		return Answer{Stopped: StopContext}, nil
	}
	c.Undo()
	answer, err := c.grow(ctx, last, min(c.reserve(), free), onText)
	if err != nil || len(answer.IDs) == 0 {
		c.turns = turns
	}
	return answer, err
}

// grow writes on at a turn's answer, with a reserve for what comes, and remembers the turn.
func (c *Chat) grow(ctx context.Context, t turn, reserve int, onText func(string)) (Answer, error) {
	if err := c.prepare(); err != nil {
		return Answer{}, err
	}
	prompt, dropped, err := c.prompt(t.user, reserve+len(t.answer))
	if err != nil {
		return Answer{}, err
	}
	prompt = append(prompt, t.answer...)
	before := t.answer
	if c.ContinuesText() {
		before = prompt
	}
	answer, err := c.generate(ctx, prompt, before, onText)
	if err != nil {
		return Answer{}, err
	}
	answer.DroppedTurns = dropped
	c.turns = c.turns[dropped:]
	if answer.Stopped != StopInterrupted || len(answer.IDs) > 0 {
		t.answer = slices.Concat(t.answer, answer.IDs)
		c.turns = append(c.turns, t)
	}
	return answer, nil
}

// prepare makes the sequence: not before it is needed, as what it takes may not be known when the greeting is shown.
func (c *Chat) prepare() (err error) {
	if c.sequence == nil {
		c.sequence, err = c.engine.NewSequence()
	}
	return err
}

// generate writes an answer after prompt, of whose end it continues before as text.
func (c *Chat) generate(ctx context.Context, prompt, before []int, onText func(string)) (Answer, error) {
	c.sampler.Params = Params(c.Sampling)
	answer, err := c.sequence.Generate(ctx, Request{Prompt: prompt, Before: before, MaxTokens: c.Sampling.MaxTokens}, c.sampler, func(part Part) error {
		if onText != nil {
			onText(part.Text)
		}
		return nil
	})
	if err == nil {
		c.asked, c.written = len(prompt), slices.Concat(prompt, answer.IDs)
	}
	return answer, err
}

// Params returns how to choose by a model's settings.
func Params(s bundle.Sampling) sample.Params {
	return sample.Params{Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, MinP: s.MinP, RepeatPenalty: s.RepeatPenalty}
}
