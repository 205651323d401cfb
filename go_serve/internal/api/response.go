package api

import (
	"time"

	"minitron/internal/engine"
)

// Chunk is a part of an answer that streams to OpenAI's clients.
type Chunk struct {
	head
	Choices  []any  `json:"choices"`
	Usage    *Usage `json:"usage,omitempty"`
	Minitron *Extra `json:"minitron,omitempty"`
}

// Completion is a whole answer for OpenAI's clients.
type Completion struct {
	head
	Choices  []any  `json:"choices"`
	Usage    *Usage `json:"usage"`
	Minitron *Extra `json:"minitron"`
}

// Usage counts tokens.
type Usage struct {
	Prompt     int           `json:"prompt_tokens"`
	Completion int           `json:"completion_tokens"`
	Total      int           `json:"total_tokens"`
	Details    promptDetails `json:"prompt_tokens_details"`
}

type promptDetails struct {
	Cached int `json:"cached_tokens"`
}

// newUsage counts the prompt once, however many answers there are.
func newUsage(written []choice) *Usage {
	first := written[0].stats
	u := &Usage{Prompt: first.PromptTokens, Details: promptDetails{first.CachedTokens}}
	for _, c := range written {
		u.Completion += c.stats.AnswerTokens
	}
	u.Total = u.Prompt + u.Completion
	return u
}

// Extra is what OpenAI's shape has no place for.
type Extra struct {
	DroppedTurns  int         `json:"dropped_turns"` // how many of the oldest turns were left out
	Stopped       engine.Stop `json:"stopped"`       // "end", "max_tokens", "context" or "stop"
	Seed          uint64      `json:"seed"`
	PrefillMS     float64     `json:"prefill_ms"`
	DecodeMS      float64     `json:"decode_ms"`
	CachedTokens  int         `json:"cached_tokens"`
	DroppedTokens int         `json:"dropped_tokens,omitzero"` // of a text that outgrew the context: tokens out of sight in the end
}

func newExtra(a engine.Answer, dropped int, seed uint64) *Extra {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return &Extra{dropped, a.Stopped, seed, ms(a.Stats.Prefill), ms(a.Stats.Decode), a.Stats.CachedTokens, a.DroppedTokens}
}

// choice is one of the answers to a request, with what the response says of it.
type choice struct {
	index  int
	text   string
	tokens []engine.Token // if they were asked for and the answer does not stream
	finish string         // "stop" or "length"
	stats  engine.Stats
	extra  *Extra
	waited time.Duration // for a slot
}

// form brings answers into the shape of one kind of request. A nil result is not sent.
type form interface {
	first(index int) any                  // of a stream, before the first part of a choice
	next(index int, part engine.Part) any // of a stream
	last(c choice) any                    // of a stream, behind the last part of a choice
	usage(written []choice) any           // of a stream, at its end, where it was asked for
	whole(written []choice) any           // without a stream
}

// wholeOf makes the response that does not stream; one makes each of its choices. The extra fields are those of the first
// choice.
func (h head) wholeOf(written []choice, one func(choice) any) *Completion {
	whole := &Completion{head: h, Usage: newUsage(written), Minitron: written[0].extra}
	for _, c := range written {
		whole.Choices = append(whole.Choices, one(c))
	}
	return whole
}

func (h head) usage(written []choice) any {
	return &Chunk{head: h, Choices: []any{}, Usage: newUsage(written)}
}

// chatForm is the shape of /v1/chat/completions.
type chatForm struct {
	head
	wantsLogprobs bool
}

func newChatForm(s *Server, r request) chatForm {
	object := "chat.completion"
	if r.stream {
		object += ".chunk"
	}
	return chatForm{s.newHead("chatcmpl-", object), r.logprobs}
}

type message struct {
	Role    string  `json:"role"`
	Content string  `json:"content"`
	Refusal *string `json:"refusal"` // always null, but some clients look
}

type delta struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

type chatChoice struct {
	Index    int           `json:"index"`
	Message  message       `json:"message"`
	Logprobs *chatLogprobs `json:"logprobs"`
	Finish   string        `json:"finish_reason"`
}

type chatChunkChoice struct {
	Index    int           `json:"index"`
	Delta    delta         `json:"delta"`
	Logprobs *chatLogprobs `json:"logprobs"`
	Finish   *string       `json:"finish_reason"`
}

func (f chatForm) chunk(c chatChunkChoice, extra *Extra) *Chunk {
	return &Chunk{head: f.head, Choices: []any{c}, Minitron: extra}
}

func (f chatForm) first(index int) any {
	return f.chunk(chatChunkChoice{Index: index, Delta: delta{Role: "assistant", Content: new(string)}}, nil)
}

func (f chatForm) next(index int, p engine.Part) any {
	return f.chunk(chatChunkChoice{Index: index, Delta: delta{Content: &p.Text}, Logprobs: f.logprobs(p.Tokens)}, nil)
}

func (f chatForm) last(c choice) any {
	return f.chunk(chatChunkChoice{Index: c.index, Finish: &c.finish}, c.extra)
}

func (f chatForm) whole(written []choice) any {
	return f.wholeOf(written, func(c choice) any {
		return chatChoice{Index: c.index, Message: message{Role: "assistant", Content: c.text}, Logprobs: f.logprobs(c.tokens), Finish: c.finish}
	})
}

func (f chatForm) logprobs(tokens []engine.Token) *chatLogprobs {
	if !f.wantsLogprobs {
		return nil
	}
	return &chatLogprobs{tokenLogprobs(tokens)}
}

// textForm is the shape of /v1/completions.
type textForm struct {
	head
	wantsLogprobs bool
	echo          string // what comes before the continuation
}

func newTextForm(s *Server, r request) textForm {
	f := textForm{head: s.newHead("cmpl-", "text_completion"), wantsLogprobs: r.logprobs}
	if r.echo {
		f.echo = r.prompt
	}
	return f
}

type textChoice struct {
	Text     string        `json:"text"`
	Index    int           `json:"index"`
	Logprobs *textLogprobs `json:"logprobs"`
	Finish   *string       `json:"finish_reason"`
}

func (f textForm) chunk(c textChoice, extra *Extra) *Chunk {
	return &Chunk{head: f.head, Choices: []any{c}, Minitron: extra}
}

func (f textForm) first(index int) any {
	if f.echo == "" {
		return nil
	}
	return f.chunk(textChoice{Text: f.echo, Index: index}, nil)
}

func (f textForm) next(index int, p engine.Part) any {
	return f.chunk(textChoice{Text: p.Text, Index: index, Logprobs: f.logprobs(p.Tokens)}, nil)
}

func (f textForm) last(c choice) any {
	return f.chunk(textChoice{Index: c.index, Finish: &c.finish}, c.extra)
}

func (f textForm) whole(written []choice) any {
	return f.wholeOf(written, func(c choice) any {
		return textChoice{Text: f.echo + c.text, Index: c.index, Logprobs: f.logprobs(c.tokens), Finish: &c.finish}
	})
}

func (f textForm) logprobs(tokens []engine.Token) *textLogprobs {
	if !f.wantsLogprobs {
		return nil
	}
	return newTextLogprobs(tokens)
}
