package api

import (
	"time"

	"minitron/internal/engine"
)

// Chunk is a part of an answer that streams.
type Chunk struct {
	head
	Choices  []any  `json:"choices"`
	Usage    *Usage `json:"usage,omitempty"`
	Minitron *Extra `json:"minitron,omitempty"`
}

// Completion is a whole answer.
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

func newUsage(a engine.Answer) *Usage {
	s := a.Stats
	return &Usage{s.PromptTokens, s.AnswerTokens, s.PromptTokens + s.AnswerTokens, promptDetails{s.CachedTokens}}
}

// Extra is what OpenAI's shape has no place for.
type Extra struct {
	DroppedTurns  int         `json:"dropped_turns"` // how many of the oldest turns were left out
	Stopped       engine.Stop `json:"stopped"`       // "end", "max_tokens", "context" or "stop"
	Seed          uint64      `json:"seed"`
	PrefillMS     float64     `json:"prefill_ms"`
	DecodeMS      float64     `json:"decode_ms"`
	CachedTokens  int         `json:"cached_tokens"`
	DroppedTokens int         `json:"dropped_tokens,omitzero"` // of a text that outgrew the context: how many were seen no more in the end
}

func newExtra(a engine.Answer, dropped int, seed uint64) *Extra {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return &Extra{dropped, a.Stopped, seed, ms(a.Stats.Prefill), ms(a.Stats.Decode), a.Stats.CachedTokens, a.DroppedTokens}
}

// chatForm is the shape of /v1/chat/completions.
type chatForm struct {
	head          head
	wantsLogprobs bool
}

func newChatForm(s *Server, r request) *chatForm {
	object := "chat.completion"
	if r.stream {
		object += ".chunk"
	}
	return &chatForm{s.newHead("chatcmpl-", object), r.logprobs}
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
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

func (f *chatForm) chunk(c chatChunkChoice) *Chunk { return &Chunk{head: f.head, Choices: []any{c}} }

func (f *chatForm) first() *Chunk {
	return f.chunk(chatChunkChoice{Delta: delta{Role: "assistant", Content: new(string)}})
}

func (f *chatForm) next(p engine.Part) *Chunk {
	return f.chunk(chatChunkChoice{Delta: delta{Content: &p.Text}, Logprobs: f.logprobs(p.Tokens)})
}

func (f *chatForm) last(finish string) *Chunk { return f.chunk(chatChunkChoice{Finish: &finish}) }

func (f *chatForm) whole(tokens []engine.Token, text, finish string) *Completion {
	c := chatChoice{Message: message{"assistant", text}, Logprobs: f.logprobs(tokens), Finish: finish}
	return &Completion{head: f.head, Choices: []any{c}}
}

func (f *chatForm) logprobs(tokens []engine.Token) *chatLogprobs {
	if !f.wantsLogprobs {
		return nil
	}
	return newChatLogprobs(tokens)
}

// textForm is the shape of /v1/completions.
type textForm struct {
	head          head
	wantsLogprobs bool
	echo          string // what comes before the continuation
}

func newTextForm(s *Server, r request) *textForm {
	f := &textForm{head: s.newHead("cmpl-", "text_completion"), wantsLogprobs: r.logprobs}
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

func (f *textForm) chunk(c textChoice) *Chunk { return &Chunk{head: f.head, Choices: []any{c}} }

func (f *textForm) first() *Chunk {
	if f.echo == "" {
		return nil
	}
	return f.chunk(textChoice{Text: f.echo})
}

func (f *textForm) next(p engine.Part) *Chunk {
	return f.chunk(textChoice{Text: p.Text, Logprobs: f.logprobs(p.Tokens)})
}

func (f *textForm) last(finish string) *Chunk { return f.chunk(textChoice{Finish: &finish}) }

func (f *textForm) whole(tokens []engine.Token, text, finish string) *Completion {
	c := textChoice{Text: f.echo + text, Logprobs: f.logprobs(tokens), Finish: &finish}
	return &Completion{head: f.head, Choices: []any{c}}
}

func (f *textForm) logprobs(tokens []engine.Token) *textLogprobs {
	if !f.wantsLogprobs {
		return nil
	}
	return newTextLogprobs(tokens)
}
