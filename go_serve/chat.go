package minitron

import (
	"context"
	"iter"
	"math/rand/v2"

	"minitron/internal/bundle"
	"minitron/internal/chat"
	"minitron/internal/engine"
)

// Sampling says how tokens are chosen: repeat penalty, temperature, top-k, top-p and min-p are applied in this order. The zero
// value always takes the likeliest token and answers until the context is full.
type Sampling struct {
	Temperature   float64 // 0: always the likeliest
	TopK          int     // draw from the k likeliest only; 0: off
	TopP          float64 // draw from the likeliest tokens whose probabilities add up to this share; 0 and 1: off
	MinP          float64 // drop tokens with less than this share, 0 to 1, of the likeliest one's probability; 0: off
	RepeatPenalty float64 // above 1: make tokens that the answer already holds less likely; 0 and 1: off
	MaxTokens     int     // the longest answer; 0: as many as the context has
}

// Message is one message of a dialogue.
type Message struct {
	Role    string `json:"role"` // "system", "user" or "assistant"
	Content string `json:"content"`
}

// Answer is an answer of the model.
type Answer struct {
	Text         string
	IDs          []int  // without the end marker
	Stopped      string // "end" (by the model), "max_tokens", "context" (it is full) or "interrupted" (by the caller)
	DroppedTurns int    // how many of the oldest turns the model did not see because they no longer fit
}

// Chat is a conversation or, with a model that continues text, a series of independent texts. Only one goroutine may use it.
type Chat struct {
	chat    *chat.Chat
	context int
	answer  Answer
}

// ChatOption is a setting for NewChat. Settings that no option changes are the model's own.
type ChatOption func(*chatSettings)

type chatSettings struct {
	system   string
	sampling Sampling
	seed     uint64
}

// WithSystem sets the system message; "" means none. A model that continues text has none in any case.
func WithSystem(text string) ChatOption { return func(s *chatSettings) { s.system = text } }

// WithSampling replaces all sampling settings. To change some of them, start from Info's Sampling.
func WithSampling(sampling Sampling) ChatOption {
	return func(s *chatSettings) { s.sampling = sampling }
}

// WithSeed makes answers repeatable. Without it every chat gets a random seed.
func WithSeed(seed uint64) ChatOption { return func(s *chatSettings) { s.seed = seed } }

// NewChat starts a conversation. It does not wait until the model is ready; the first answer does.
func (m *Model) NewChat(options ...ChatOption) *Chat {
	info := m.Info()
	s := chatSettings{info.System, info.Sampling, rand.Uint64()}
	for _, option := range options {
		option(&s)
	}
	c := &Chat{chat: chat.New(m.engine, s.system, bundle.Sampling{}, s.seed), context: info.Context}
	c.SetSampling(s.sampling)
	return c
}

// SetSampling changes how tokens are chosen, from the next answer on.
func (c *Chat) SetSampling(s Sampling) {
	if s.TopP == 0 {
		s.TopP = 1
	}
	if s.MaxTokens < 1 {
		s.MaxTokens = c.context
	}
	c.chat.Sampling = bundle.Sampling(s)
}

// Say sends a message and yields the answer in parts as it grows, in whole characters. After a failure the last pair holds the
// error and no text, and the conversation is unchanged. If ctx is cancelled, that error is ctx.Err(); if the caller leaves the
// loop, there is none. Both end the answer, and the text so far stays in the conversation.
func (c *Chat) Say(ctx context.Context, text string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		c.answer = Answer{}
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		left := false // whether the caller has left the loop
		answer, err := c.chat.Say(inner, text, func(part string) {
			if !left && part != "" && !yield(part, nil) {
				left = true
				cancel()
			}
		})
		if err == nil {
			c.answer = Answer{answer.Text, answer.IDs, string(answer.Stopped), answer.DroppedTurns}
			if answer.Stopped == engine.StopInterrupted {
				err = ctx.Err()
			}
		}
		if err != nil && !left {
			yield("", err)
		}
	}
}

// Answer returns the last answer, or the part of it that was written.
func (c *Chat) Answer() Answer { return c.answer }

// Messages returns the conversation, the system message first if there is one.
func (c *Chat) Messages() []Message {
	var messages []Message
	for _, m := range c.chat.Messages() {
		messages = append(messages, Message(m))
	}
	return messages
}

// Restore replaces the conversation by messages in the form that Messages returns. After an error the conversation is
// unchanged.
func (c *Chat) Restore(messages []Message) error { return c.chat.Restore(internal(messages)) }

// Resume replaces the conversation by all messages but the last, which must be a user's, and returns the text of the last one,
// to be passed to Say. After an error the conversation is unchanged.
func (c *Chat) Resume(messages []Message) (last string, err error) {
	return c.chat.Resume(internal(messages))
}

// Reset forgets all turns; the system message stays.
func (c *Chat) Reset() { c.chat.Reset() }

func internal(messages []Message) []chat.Message {
	var all []chat.Message
	for _, m := range messages {
		all = append(all, chat.Message(m))
	}
	return all
}
