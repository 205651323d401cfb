package api

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"minitron/internal/engine"
	"minitron/internal/testmodel"
)

// testEngine is a tiny random model: context 64, every byte of a text is one token, 5 + the byte.
func testEngine(t testing.TB) *engine.Engine {
	t.Helper()
	e, err := engine.New(testmodel.Bundle(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func newServer(t testing.TB, limits Limits) *Server {
	s := New(testEngine(t), limits)
	s.Settings.Sampling.Temperature = 0
	s.Settings.Sampling.MaxTokens = 8
	return s
}

// reply is what a client sees of either kind of answer, whole or streamed.
type reply struct {
	Object  string
	Model   string
	Choices []struct {
		Index          int
		Text           string
		Message, Delta message
		Logprobs       *struct {
			Content []tokenLogprob
			Tokens  []string
			Offsets []int `json:"text_offset"`
		}
		Finish string `json:"finish_reason"`
	}
	Usage    *Usage
	Minitron *Extra
}

// send carries out a body of /v1/chat/completions, or with "prompt" in it of /v1/completions.
func send(ctx context.Context, s *Server, body string, on func(any) error) error {
	read := s.Chat
	if strings.Contains(body, `"prompt"`) {
		read = s.Complete
	}
	work, err := read([]byte(body))
	if err != nil {
		return err
	}
	return work(ctx, on)
}

// ask returns all that is sent for a body.
func ask(ctx context.Context, s *Server, body string) (replies []reply, err error) {
	err = send(ctx, s, body, func(v any) error {
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		var r reply
		if err := json.Unmarshal(data, &r); err != nil {
			return err
		}
		replies = append(replies, r)
		return nil
	})
	return replies, err
}

// one returns the one answer to a body that does not stream.
func one(t testing.TB, s *Server, body string) reply {
	t.Helper()
	replies, err := ask(context.Background(), s, body)
	if err != nil || len(replies) != 1 {
		t.Fatalf("%s: %d answers, %v", body, len(replies), err)
	}
	return replies[0]
}

func (r reply) text() (text string) {
	for _, c := range r.Choices {
		text += c.Text + c.Message.Content + c.Delta.Content
	}
	return text
}

func refusal(t testing.TB, s *Server, body string) *Error {
	t.Helper()
	_, err := ask(context.Background(), s, body)
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%.200s: %v", body, err)
	}
	return e
}
