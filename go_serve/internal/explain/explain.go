// Package explain answers requests of a page that shows how its model works: which tokens a text has, what could come next, and
// where the layers look. JSON goes in, structs come out. It knows neither browsers nor answers.
package explain

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"unicode/utf8"

	"minitron/internal/chat"
	"minitron/internal/engine"
)

// MostAttended is how many tokens a text for Attention may have: the size of its result grows with their square.
const MostAttended = 192

// Server answers one page, a request at a time.
type Server struct {
	engine   *engine.Engine
	sequence *engine.Sequence
}

// New makes a Server for an engine, which need not be ready yet.
func New(e *engine.Engine) *Server { return &Server{engine: e} }

// request is a request of a page: {"do": "tokens", "text", "chat"}, {"do": "next", "ids", "top"} or {"do": "attention", "ids"}.
type request struct {
	Do   string `json:"do"`
	Text string `json:"text"`
	Chat bool   `json:"chat"` // whether the text is put between the markers that ask for an answer
	IDs  []int  `json:"ids"`
	Top  int    `json:"top"`
}

// Token is a token of the vocabulary.
type Token struct {
	ID    int    `json:"id"`
	Piece string `json:"token"` // as the vocabulary spells it
	Bytes []int  `json:"bytes"` // the text it stands for; null for a control piece
}

// Likely is a token that could come next.
type Likely struct {
	Token
	Logprob float64 `json:"logprob"`
	End     bool    `json:"end,omitzero"`   // whether it ends an answer
	Never   bool    `json:"never,omitzero"` // whether no answer may hold it, however likely it is
}

// Next says what could follow, before temperature and filters.
type Next struct {
	Top     []Likely `json:"top"`     // the likeliest first, at most engine.MaxTopLogprobs
	Entropy float64  `json:"entropy"` // of the whole vocabulary's distribution, in bits
}

// Layer says where a layer looks: per head T·T bytes, in which row t is the weight that token t gives each token; 255 stands
// for 1. In JSON they are base64.
type Layer struct {
	Kind    string   `json:"kind"`
	Window  int      `json:"window"`
	Weights [][]byte `json:"weights"`
}

// Answer answers one request of JSON, with []Token, Next or []Layer. An error is one plain sentence; it is a chat.TooLongError if the
// text has more tokens than the model, or the page, can take.
func (s *Server) Answer(ctx context.Context, data []byte) (any, error) {
	var r request
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, errors.New("the request is no JSON of the page's kind")
	}
	switch r.Do {
	case "tokens":
		return s.tokens(r.Text, r.Chat)
	case "next":
		return s.next(ctx, r.IDs, r.Top)
	case "attention":
		return s.attention(ctx, r.IDs)
	}
	return nil, errors.New("the page asks for what this program does not know")
}

func (s *Server) token(id int) Token {
	t := Token{ID: id, Piece: s.engine.Tokenizer.Piece(id)}
	if bytes := s.engine.Tokenizer.Bytes(id); bytes != nil {
		t.Bytes = make([]int, len(bytes))
		for i, b := range bytes {
			t.Bytes[i] = int(b)
		}
	}
	if !utf8.ValidString(t.Piece) {
		t.Piece = "\ufffd"
	}
	return t
}

// tokens returns the tokens of a text; with asChat those that the model sees when the text is its first message.
func (s *Server) tokens(text string, asChat bool) ([]Token, error) {
	ids := s.engine.Tokenizer.Encode(text)
	if asChat && !s.engine.ContinuesText() {
		messages := []chat.Message{{Role: "user", Content: text}}
		if system := s.engine.Config.System; system != "" {
			messages = append([]chat.Message{{Role: "system", Content: system}}, messages...)
		}
		prompt, err := chat.NewPrompt(s.engine, messages, "", 1, false)
		if err != nil {
			return nil, err
		}
		ids = prompt.IDs
	}
	tokens := make([]Token, len(ids))
	for i, id := range ids {
		tokens[i] = s.token(id)
	}
	return tokens, nil
}

func (s *Server) next(ctx context.Context, ids []int, top int) (Next, error) {
	if s.sequence == nil {
		var err error
		if s.sequence, err = s.engine.NewSequence(); err != nil {
			return Next{}, err
		}
	}
	logits, err := s.sequence.Logits(ctx, ids)
	if err != nil {
		return Next{}, err
	}
	never := make(map[int]bool)
	for _, id := range s.engine.NeverSampled() {
		never[id] = true
	}
	end := s.engine.Tokenizer.Chat().End()
	found := Next{Top: []Likely{}, Entropy: entropy(logits)}
	for _, likely := range s.engine.Token(logits, 0, max(0, top), false).Top {
		found.Top = append(found.Top, Likely{s.token(likely.ID), likely.Logprob, likely.ID == end, never[likely.ID]})
	}
	return found, nil
}

// entropy returns the entropy of softmax(logits), in bits.
func entropy(logits []float32) float64 {
	highest := float64(logits[0])
	for _, v := range logits {
		highest = max(highest, float64(v))
	}
	sum, weighted := 0.0, 0.0
	for _, v := range logits {
		e := math.Exp(float64(v) - highest)
		sum += e
		weighted += e * (float64(v) - highest)
	}
	return (math.Log(sum) - weighted/sum) / math.Ln2
}

func (s *Server) attention(ctx context.Context, ids []int) ([]Layer, error) {
	if most := min(MostAttended, s.engine.Config.Model.Longest()); len(ids) > most {
		return nil, &chat.TooLongError{Tokens: len(ids), Fit: most}
	}
	attended, err := s.engine.Attention(ctx, ids)
	if err != nil {
		return nil, err
	}
	layers := make([]Layer, len(attended))
	for n, a := range attended {
		layers[n] = Layer{a.Kind, a.Window, make([][]byte, len(a.Weights))}
		for head, weights := range a.Weights {
			row := make([]byte, len(weights))
			for i, w := range weights {
				row[i] = byte(math.Round(float64(w) * 255))
			}
			layers[n].Weights[head] = row
		}
	}
	return layers, nil
}
