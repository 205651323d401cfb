package minitron

import (
	"context"
	"iter"
	"math/rand/v2"

	"minitron/internal/bundle"
	"minitron/internal/chat"
	"minitron/internal/engine"
)

// Sampling says how tokens are chosen: penalty, temperature, top-k, top-p, min-p, in this order. The zero value always takes
// the likeliest token and answers until the context is full.
type Sampling struct {
	Temperature   float64 // 0: always the likeliest
	TopK          int     // draw from the k likeliest only; 0: off
	TopP          float64 // draw from the likeliest that make up this part of the probability; 0 and 1: off
	MinP          float64 // drop what is less likely than this part of the likeliest; 0: off
	RepeatPenalty float64 // make what the answer holds less likely, above 1; 0 and 1: off
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
	Stopped      string // "end": by the model; "max_tokens"; "context": it is full; "interrupted": by the caller
	DroppedTurns int    // how many of the oldest turns the model did not see, as they no longer fit
}

// Chat is a conversation or, with a model that continues text, texts that know nothing of each other. It belongs to one
// goroutine.
type Chat struct {
	chat    *chat.Chat
	context int
	answer  Answer
}

// ChatOption is a setting of NewChat. What no option sets is the model's own.
type ChatOption func(*chatSettings)

type chatSettings struct {
	system   string
	sampling Sampling
	seed     uint64
}

// WithSystem sets what the model is told first; "": nothing. A model that continues text is told nothing.
func WithSystem(text string) ChatOption { return func(s *chatSettings) { s.system = text } }

// WithSampling sets how tokens are chosen, all of it: start from Info's Sampling to change a part.
func WithSampling(sampling Sampling) ChatOption {
	return func(s *chatSettings) { s.sampling = sampling }
}

// WithSeed makes answers repeatable. Without it they are drawn anew each time.
func WithSeed(seed uint64) ChatOption { return func(s *chatSettings) { s.seed = seed } }

// NewChat starts a conversation. It does not wait: the first answer does, until the model is ready.
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

// Say sends a message and goes through the answer as it grows, in whole characters. Where something is wrong the last pair has
// the error and no text; nothing has been said then. Where ctx is cancelled that is ctx.Err(), and where the loop is left there
// is none: both end the answer, and what came so far stays in the conversation.
func (c *Chat) Say(ctx context.Context, text string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		c.answer = Answer{}
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		left := false // the loop was
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

// Answer returns the last answer, as far as it came.
func (c *Chat) Answer() Answer { return c.answer }

// Messages returns the conversation, the system message first if there is one.
func (c *Chat) Messages() []Message {
	var messages []Message
	for _, m := range c.chat.Messages() {
		messages = append(messages, Message(m))
	}
	return messages
}

// Restore replaces the conversation by messages as Messages returns them. After an error it is as it was before.
func (c *Chat) Restore(messages []Message) error { return c.chat.Restore(internal(messages)) }

// Resume replaces the conversation by all messages but the last, a user's, and returns the text of that, for Say. After an
// error it is as it was before.
func (c *Chat) Resume(messages []Message) (last string, err error) {
	return c.chat.Resume(internal(messages))
}

// Reset forgets all that was said; the system message stays.
func (c *Chat) Reset() { c.chat.Reset() }

func internal(messages []Message) []chat.Message {
	var all []chat.Message
	for _, m := range messages {
		all = append(all, chat.Message(m))
	}
	return all
}
