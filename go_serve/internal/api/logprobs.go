package api

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"minitron/internal/engine"
)

// chatLogprobs is the newer shape of log-probabilities, that of chats: {"content": [{"token", "logprob", "bytes",
// "top_logprobs"}]}.
type chatLogprobs struct {
	Content []tokenLogprob `json:"content"`
}

type tokenLogprob struct {
	topLogprob
	Top []topLogprob `json:"top_logprobs"`
}

type topLogprob struct {
	Token   string  `json:"token"`
	Logprob float64 `json:"logprob"`
	Bytes   []int   `json:"bytes"` // null for a control piece
}

func newTopLogprob(l engine.Likely) topLogprob {
	t := topLogprob{Token: tokenText(l, ""), Logprob: l.Logprob}
	if l.Bytes != nil {
		t.Bytes = make([]int, len(l.Bytes))
		for i, b := range l.Bytes {
			t.Bytes[i] = int(b)
		}
	}
	return t
}

func tokenLogprobs(tokens []engine.Token) []tokenLogprob {
	told := []tokenLogprob{}
	for _, t := range tokens {
		one := tokenLogprob{newTopLogprob(t.Likely), []topLogprob{}}
		for _, other := range t.Top {
			one.Top = append(one.Top, newTopLogprob(other))
		}
		told = append(told, one)
	}
	return told
}

// textLogprobs is the older shape of log-probabilities, that of completions: parallel lists, with one entry per token.
type textLogprobs struct {
	Tokens   []string             `json:"tokens"`
	Logprobs []float64            `json:"token_logprobs"`
	Top      []map[string]float64 `json:"top_logprobs"`
	Offsets  []int                `json:"text_offset"` // where each token begins, in characters of the answer
}

func newTextLogprobs(tokens []engine.Token) *textLogprobs {
	l := &textLogprobs{[]string{}, []float64{}, []map[string]float64{}, []int{}}
	for _, t := range tokens {
		l.Tokens = append(l.Tokens, tokenText(t.Likely, "bytes:"))
		l.Logprobs = append(l.Logprobs, t.Logprob)
		l.Offsets = append(l.Offsets, t.Offset)
		top := make(map[string]float64)
		for _, likely := range t.Top {
			top[tokenText(likely, "bytes:")] = likely.Logprob
		}
		l.Top = append(l.Top, top)
	}
	return l
}

// tokenText returns a token as text. Bytes that are not whole characters are spelled \xf0, as OpenAI does, after prefix.
func tokenText(l engine.Likely, prefix string) string {
	switch {
	case l.Bytes == nil:
		return l.Piece
	case utf8.Valid(l.Bytes):
		return string(l.Bytes)
	}
	var text strings.Builder
	text.WriteString(prefix)
	for _, b := range l.Bytes {
		fmt.Fprintf(&text, `\x%02x`, b)
	}
	return text.String()
}
