// Package api answers requests in the form of OpenAI's and ollama's APIs: chats and completions, as JSON in and structs out. It
// knows no HTTP: a server puts that around it, and in a browser a worker calls it.
package api

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"minitron/internal/bundle"
	"minitron/internal/chat"
	"minitron/internal/clock"
	"minitron/internal/engine"
)

// Settings holds the defaults for what a request leaves out.
type Settings struct {
	Sampling bundle.Sampling
	System   string // for a chat without a system message; "" is none
	Trim     bool   // whether a chat that outgrows the context forgets its oldest turns, rather than being refused
}

// Limits bound what a server holds at once. 0 means the usual number.
type Limits struct {
	Slots int // conversations that are answered at once, and whose cache is kept; usual: by the memory that one takes
	Queue int // requests that may wait for a slot; usual: 64
}

const usualQueue = 64

// Server answers the requests of many clients with one engine. It is safe for concurrent use.
type Server struct {
	Settings Settings // the model's own at first; may be changed before the first request
	Seed     *uint64  // the seed for requests without one; nil: each gets a random one

	engine      *engine.Engine
	pool        pool
	fingerprint string // of the weights: the same fingerprint, seed and request give the same answer
}

// New makes a server of an engine, which need not be ready yet.
func New(engine *engine.Engine, limits Limits) *Server {
	c := engine.Config
	if limits.Slots < 1 {
		limits.Slots = slotsFor(slotBytes(engine))
	}
	if limits.Queue < 1 {
		limits.Queue = usualQueue
	}
	return &Server{
		Settings:    Settings{Sampling: c.Sampling, System: c.System},
		engine:      engine,
		pool:        pool{engine: engine, most: limits.Slots, queue: limits.Queue},
		fingerprint: "fp_" + c.Weights.SHA256[:min(12, len(c.Weights.SHA256))],
	}
}

// Name returns the model's id.
func (s *Server) Name() string { return s.engine.Config.Name }

// Ready waits until the engine is ready, and returns the engine's error, if there is one.
func (s *Server) Ready() error { return s.engine.Ready() }

// Work is a request that was read: its prompt is tokens already, and of the texts in its body only stop sequences are kept, and a
// prompt that is to be echoed. Calling it writes the answer.
// If the answer streams, send gets each *Chunk or *Line, and before those perhaps Waiting; otherwise it gets the one
// *Completion or *Line. An error of send ends the work and is returned. A cancelled ctx ends the work with the error of ctx.
type Work func(ctx context.Context, send func(any) error) error

// Waiting says that an answer that streams still waits for a slot.
type Waiting struct{}

// Chat reads the body of a POST to /v1/chat/completions. A refusal, by Chat itself or by the Work, is an *Error.
func (s *Server) Chat(body []byte) (Work, error) {
	r, refusal := parseChat(body, s.defaults())
	if refusal != nil {
		return nil, refusal
	}
	return s.chat(r, newChatForm(s, r))
}

// chat makes the work of a dialogue.
func (s *Server) chat(r request, f form) (Work, error) {
	if err := s.checkModel(r.model); err != nil {
		return nil, err
	}
	isSystem := func(m chat.Message) bool { return m.Role == "system" }
	if s.engine.ContinuesText() {
		r.messages = slices.DeleteFunc(r.messages, isSystem)
	} else if !slices.ContainsFunc(r.messages, isSystem) && s.Settings.System != "" {
		r.messages = append([]chat.Message{{Role: "system", Content: s.Settings.System}}, r.messages...)
	}
	if !slices.ContainsFunc(r.messages, func(m chat.Message) bool { return !isSystem(m) }) { // system messages only: the model begins
		r.messages = append(r.messages, chat.Message{Role: "user"})
	}
	if last := len(r.messages) - 1; s.engine.ContinuesText() { // the begun answer is a part of the text to continue
		r.messages[last].Content += r.begun
		r.begun = ""
	}
	prompt, err := chat.NewPrompt(s.engine, r.messages, r.begun, r.settings.maxTokens, r.trim)
	var tooLong *chat.TooLongError
	switch {
	case errors.As(err, &tooLong):
		return nil, s.tooLong("messages", prompt.Tokens)
	case err != nil:
		return nil, Refuse(400, "invalid_value", "messages", "Invalid value for 'messages': %v.", err)
	}
	r.messages, r.begun = nil, ""
	return s.work(r, prompt.IDs, prompt.Begun, prompt.DroppedTurns, f), nil
}

// Complete reads the body of a POST to /v1/completions; see Chat for what it returns. The prompt is text, and no template is
// put around it.
func (s *Server) Complete(body []byte) (Work, error) {
	r, refusal := parseCompletion(body, s.defaults())
	if refusal != nil {
		return nil, refusal
	}
	return s.complete(r, newTextForm(s, r))
}

// complete makes the work of a text; f holds the prompt if it is to be echoed.
func (s *Server) complete(r request, f form) (Work, error) {
	if err := s.checkModel(r.model); err != nil {
		return nil, err
	}
	ids := s.engine.Tokenizer.Encode(r.prompt)
	switch {
	case len(ids) == 0:
		return nil, Refuse(400, "invalid_value", "prompt", "Invalid value for 'prompt': it has no tokens.")
	case len(ids) >= s.engine.Config.Model.Longest() && !s.engine.ContinuesText():
		return nil, s.tooLong("prompt", len(ids))
	}
	r.prompt = ""
	return s.work(r, ids, len(ids), 0, f), nil
}

func (s *Server) defaults() settings {
	d := settings{Settings: s.Settings, maxTokens: s.Settings.Sampling.MaxTokens}
	if s.Seed != nil {
		d.seed = *s.Seed
	} else {
		d.seed = rand.Uint64N(1 << 53) // a number that JavaScript can hold
	}
	return d
}

// Latest is what ollama's clients append to a model's name.
const Latest = ":latest"

func (s *Server) checkModel(name string) error {
	if name != "" && !s.Serves(name) {
		return s.ModelNotFound(name)
	}
	return nil
}

// Serves reports whether a name, as clients write it, is that of the model that is there.
func (s *Server) Serves(name string) bool {
	return strings.EqualFold(strings.TrimSuffix(name, Latest), s.Name())
}

// ModelNotFound is the refusal of any model but the one that is there.
func (s *Server) ModelNotFound(name string) *Error {
	return Refuse(404, "model_not_found", "model", "The model '%s' does not exist. The one that is here is '%s'.", shorten(name), s.Name())
}

func (s *Server) tooLong(param string, tokens int) *Error {
	return Refuse(400, "context_length_exceeded", param,
		"This model's maximum context length is %d tokens, and an answer needs at least one of them. However, your %s resulted in %d tokens. Please reduce the length of the %s.",
		s.engine.Config.Model.Longest(), param, tokens, param)
}

// work returns the Work that answers a prompt. The last tokens of the prompt, begun of them, are text that the answer
// continues.
func (s *Server) work(r request, prompt []int, begun, dropped int, f form) Work {
	ask := engine.Request{MaxTokens: r.settings.maxTokens, Stops: r.stops, Logprobs: r.logprobs, TopLogprobs: r.topLogprobs}
	ask.Prompt = slices.Clone(s.engine.Window(prompt)) // a copy, so that the whole prompt (8 bytes an id) is not held while it waits
	ask.Unseen = len(prompt) - len(ask.Prompt)
	ask.Before = ask.Prompt[max(0, len(ask.Prompt)-begun):]
	if s.engine.ContinuesText() || s.engine.Config.Model.Endless() {
		ask.MaxTokens = min(ask.MaxTokens, maxContinued)
	}
	return func(ctx context.Context, send func(any) error) error { return s.answer(ctx, r, ask, dropped, f, send) }
}

// answer writes the answers to the prompt of ask, one after the other: each but the first finds the prompt in the cache.
func (s *Server) answer(ctx context.Context, r request, ask engine.Request, dropped int, f form, send func(any) error) error {
	began := clock.Now()
	slot, err := s.pool.take(ctx, ask.Prompt, func() error {
		if r.stream {
			return send(Waiting{})
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer s.pool.give(slot)
	slot.sampler.Params = engine.Params(r.settings.Sampling)
	slot.sampler.PresencePenalty, slot.sampler.FrequencyPenalty = r.settings.presence, r.settings.frequency

	waited := clock.Since(began)
	written := make([]choice, r.choices)
	for i := range written {
		c := choice{index: i, waited: waited}
		seed := r.settings.seed + uint64(i)
		slot.sampler.Seed(seed)
		answer, err := s.write(ctx, slot, ask, &c, f, r.stream, send)
		if err != nil {
			return err
		}
		c.text, c.stats, c.extra, c.finish = answer.Text, answer.Stats, newExtra(answer, dropped, seed), "length"
		if answer.Stopped == engine.StopEnd || answer.Stopped == engine.StopSequence {
			c.finish = "stop"
		}
		if r.stream {
			if err := send(f.last(c)); err != nil {
				return err
			}
		}
		written[i] = c
	}
	if !r.stream {
		return send(f.whole(written))
	}
	if usage := f.usage(written); r.includeUsage && usage != nil {
		return send(usage)
	}
	return nil
}

// write writes one answer. If it streams, its parts are sent; otherwise their tokens are kept in c.
func (s *Server) write(ctx context.Context, slot *slot, ask engine.Request, c *choice, f form, stream bool, send func(any) error) (engine.Answer, error) {
	begun := false
	begin := func() error {
		if begun || !stream {
			return nil
		}
		begun = true
		if first := f.first(c.index); first != nil {
			return send(first)
		}
		return nil
	}
	answer, err := slot.sequence.Generate(ctx, ask, slot.sampler, func(part engine.Part) error {
		if !stream {
			c.tokens = append(c.tokens, part.Tokens...)
			return nil
		}
		if err := begin(); err != nil {
			return err
		}
		return send(f.next(c.index, part))
	})
	if err == nil && answer.Stopped == engine.StopInterrupted {
		err = ctx.Err()
	}
	if err == nil {
		err = begin()
	}
	return answer, err
}

// head is what every response begins with.
type head struct {
	ID                string `json:"id"`
	Object            string `json:"object"`
	Created           int64  `json:"created"`
	Model             string `json:"model"`
	SystemFingerprint string `json:"system_fingerprint"`
}

func (s *Server) newHead(prefix, object string) head {
	id := prefix + strconv.FormatUint(rand.Uint64(), 36) + strconv.FormatUint(rand.Uint64(), 36)
	return head{ID: id, Object: object, Created: time.Now().Unix(), Model: s.Name(), SystemFingerprint: s.fingerprint}
}
