// Package chat holds a conversation: the template, the turns, and which of them the model sees when its context is full. It
// knows neither terminals nor servers.
package chat

import (
	"context"
	"slices"

	"minitron/internal/bundle"
	"minitron/internal/engine"
	"minitron/internal/sample"
)

// Chat is one conversation or, with a model that continues text, a list of independent texts: the two parts of a turn are then
// what was typed and how it went on. Only one goroutine may use it.
type Chat struct {
	Sampling bundle.Sampling // may be changed between answers
	Watch    func(Odds)      // gets each token with its odds as it is written; may be nil

	engine   *engine.Engine
	sequence *engine.Sequence
	sampler  *sample.Sampler
	seed     uint64 // of the sampler
	system   string
	turns    []turn // all that was said, also what no longer fits into the context
	last     trace  // the tokens that Odds reports on
}

// Answer is an answer of the model.
type Answer struct {
	engine.Answer
	DroppedTurns int // how many of the oldest turns the model did not see
}

// turn is what the person said and what the model answered.
type turn struct {
	user, answer []int
	text         string // what the person typed: the ids may stand for a normalised text
	system       string // the system message under which it was answered
}

// trace is what the model wrote last.
type trace struct {
	ids    []int // the prompt and its answer
	prompt int   // how many of them are the prompt
}

// New starts a conversation. With an empty system there is no system message; with a model that continues text there never is.
func New(e *engine.Engine, system string, sampling bundle.Sampling, seed uint64) *Chat {
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
func (c *Chat) Reset() { c.setTurns(nil) }

// setTurns replaces the turns, and forgets which tokens were written last.
func (c *Chat) setTurns(turns []turn) { c.turns, c.last = turns, trace{} }

// Turns returns how many turns there are.
func (c *Chat) Turns() int { return len(c.turns) }

// ContinuesText reports whether the model continues text, rather than answering messages.
func (c *Chat) ContinuesText() bool { return c.engine.ContinuesText() }

// Tokens returns how many tokens of the context were in use when the model had last answered, the marker that closes its answer
// included, and how many fit. Those in use are the system message and the newest turns or, with a model that continues text,
// the end of the last text.
func (c *Chat) Tokens() (used, size int) {
	size = c.engine.Config.Model.Longest()
	n := len(c.turns)
	if c.ContinuesText() {
		if n > 0 {
			used = len(c.engine.Window(slices.Concat(c.turns[n-1].user, c.turns[n-1].answer)))
		}
		return used, size
	}
	if len(c.last.ids) > 0 {
		return min(size, len(c.last.ids)+len(c.engine.Tokenizer.Chat().Closing)), size
	}
	used = len(c.head())
	if n > 0 {
		before, last := c.split()
		asked := turn{user: last.user}
		used += c.total(c.turns[c.leftOut(before, c.asking(asked), size-used-c.reserve(asked)):])
	}
	return used, size
}

// MemoryBytes returns the bytes that the model keeps of a conversation, however long it is; 0 for a model whose memory grows
// with the length.
func (c *Chat) MemoryBytes() int64 {
	if !c.engine.Config.Model.Endless() {
		return 0
	}
	return c.engine.Model.MemoryBytes()
}

// Say sends the person's next message and returns the answer. onText (may be nil) gets the answer's text while it
// grows, in whole characters. A cancelled ctx ends the answer early: what was said so far is kept and returned. After an
// error, and where ctx ends before the first token, the conversation is as it was before.
func (c *Chat) Say(ctx context.Context, text string, onText func(string)) (Answer, error) {
	return c.grow(ctx, c.turns, c.newTurn(text), onText)
}

// SayInstead is Say with a turn that replaces the last one. There must be a turn.
func (c *Chat) SayInstead(ctx context.Context, text string, onText func(string)) (Answer, error) {
	before, last := c.split()
	t := turn{user: last.user, text: text}
	if text != last.text {
		t = c.newTurn(text)
	}
	return c.grow(ctx, before, t, onText)
}

// More continues the last turn's answer where it ended, and returns the new part. There must be a turn.
func (c *Chat) More(ctx context.Context, onText func(string)) (Answer, error) {
	before, last := c.split()
	if c.left(last) < 1 {
		return Answer{Answer: engine.Answer{Stopped: engine.StopContext}}, nil
	}
	return c.grow(ctx, before, last, onText)
}

func (c *Chat) newTurn(text string) turn {
	return turn{user: c.encode(text), text: text}
}

// split returns the turns before the last one, and the last one.
func (c *Chat) split() (before []turn, last turn) {
	n := len(c.turns) - 1
	return c.turns[:n], c.turns[n]
}

// grow continues the answer of t, a turn that follows those in before. Then before and t become the conversation. It stays as it
// is after an error, and if nothing was written because ctx ended or because a begun answer did not go on.
func (c *Chat) grow(ctx context.Context, before []turn, t turn, onText func(string)) (Answer, error) {
	t.system = c.system
	prompt, answer, err := c.write(ctx, before, t, onText)
	if err != nil || len(answer.IDs) == 0 && (answer.Stopped == engine.StopInterrupted || len(t.answer) > 0) {
		return answer, err
	}
	c.keep(before, t, prompt, answer.IDs, 0)
	return answer, nil
}

// write continues the answer of t, a turn that follows those in before, and changes nothing of the conversation.
func (c *Chat) write(ctx context.Context, before []turn, t turn, onText func(string)) (prompt []int, answer Answer, err error) {
	if err = c.prepare(); err != nil {
		return nil, Answer{}, err
	}
	prompt, answer.DroppedTurns, err = c.prompt(before, t)
	if err != nil {
		return nil, Answer{}, err
	}
	text := t.answer // the tokens that the answer continues as text
	if c.ContinuesText() {
		text = prompt
	}
	if answer.Answer, err = c.generate(ctx, prompt, text, onText); err != nil {
		return nil, Answer{}, err
	}
	return prompt, answer, nil
}

// keep makes before and t the conversation, once t's answer went on with ids behind prompt. Odds then reports on ids, and on as
// many tokens at the end of prompt as told says.
func (c *Chat) keep(before []turn, t turn, prompt, ids []int, told int) {
	t.answer = slices.Concat(t.answer, ids)
	c.turns = append(before, t)
	c.last = trace{slices.Concat(prompt, ids), len(prompt) - told}
}

// prepare makes the sequence if there is none yet. It is not made earlier, because the engine may not be ready when the
// greeting is shown.
func (c *Chat) prepare() (err error) {
	if c.sequence == nil {
		c.sequence, err = c.engine.NewSequence()
	}
	return err
}

// generate writes an answer after prompt. before is the end of the prompt that the answer continues as text.
func (c *Chat) generate(ctx context.Context, prompt, before []int, onText func(string)) (engine.Answer, error) {
	c.sampler.Params = engine.Params(c.Sampling)
	request := engine.Request{Prompt: prompt, Before: before, MaxTokens: c.Sampling.MaxTokens}
	if c.Watch != nil {
		request.Logprobs, request.TopLogprobs, request.TopPossible = true, others+1, true
	}
	return c.sequence.Generate(ctx, request, c.sampler, func(part engine.Part) error {
		for _, token := range part.Tokens {
			c.Watch(c.oddsOf(token))
		}
		if onText != nil {
			onText(part.Text)
		}
		return nil
	})
}
