package api

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"minitron/internal/bundle"
)

// newTextServer serves the tiny model as one that continues text.
func newTextServer(t testing.TB) *Server {
	s := newServer(t, Limits{})
	s.engine.Config.Template = bundle.RawText
	return s
}

// TestEcho puts the prompt before its continuation, with either kind of model.
func TestEcho(t *testing.T) {
	for _, s := range []*Server{newServer(t, Limits{}), newTextServer(t)} {
		alone, after := one(t, s, `{"prompt": "ab\n "}`), one(t, s, `{"prompt": "ab\n ", "echo": true}`)
		if after.text() != "ab\n "+alone.text() || after.Usage.Completion != alone.Usage.Completion {
			t.Errorf("%q, without echo %q", after.text(), alone.text())
		}
	}
}

// TestTextChat holds that the last user's message is continued as if it were a prompt, whatever stands before it.
func TestTextChat(t *testing.T) {
	s := newTextServer(t)
	s.Settings.System = "never sent"
	want := one(t, s, `{"prompt": "One day, ", "seed": 4, "temperature": 2}`)
	const system, begun = `{"role": "system", "content": "be"}`, `{"role": "user", "content": "One "}, `
	for _, messages := range []string{
		`{"role": "user", "content": "One day, "}`,
		system + `, {"role": "user", "content": "One day, "}`,
		`{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "One day, "}`,
		begun + `{"role": "assistant", "content": "day, "}`, // a beginning of the continuation, too, wherever a system message stands
		begun + system + `, {"role": "assistant", "content": "day, "}`,
		begun + `{"role": "assistant", "content": "day, "}, ` + system,
	} {
		got := one(t, s, `{"messages": [`+messages+`], "seed": 4, "temperature": 2}`)
		if got.text() != want.text() || got.Usage.Prompt != want.Usage.Prompt || got.Minitron.DroppedTurns != 0 {
			t.Errorf("%s: %q (%d), want %q (%d)", messages, got.text(), got.Usage.Prompt, want.text(), want.Usage.Prompt)
		}
	}
}

// TestTextOutgrowsTheContext asks for more than the context of 64 holds, and goes on from what came, which is in the cache.
func TestTextOutgrowsTheContext(t *testing.T) {
	s := newTextServer(t)
	prompt := strings.Repeat("x", 100)
	r := one(t, s, fmt.Sprintf(`{"prompt": %q, "max_tokens": 300}`, prompt))
	if r.Usage.Prompt != 100 || r.Usage.Completion != 300 || r.Choices[0].Finish != "length" || r.Minitron.Stopped != "max_tokens" {
		t.Errorf("%+v, %+v", r.Usage, r.Minitron)
	}
	if out := r.Minitron.DroppedTokens; out < 400-64 || out > 400-32 {
		t.Errorf("%d tokens are out of sight", out)
	}
	again := one(t, s, fmt.Sprintf(`{"prompt": %q, "max_tokens": 1}`, prompt+"y"))
	if again.Usage.Details.Cached != 0 { // the text ended elsewhere
		t.Errorf("%d cached", again.Usage.Details.Cached)
	}
	again = one(t, s, fmt.Sprintf(`{"prompt": %q, "max_tokens": 1}`, prompt+"yz"))
	if again.Usage.Details.Cached != 37 { // of the window of the last 38
		t.Errorf("%d cached", again.Usage.Details.Cached)
	}
	if e := refusal(t, s, `{"prompt": ""}`); *e.Code != "invalid_value" {
		t.Errorf("%+v", e)
	}
	if e := refusal(t, s, `{"messages": [{"role": "user", "content": ""}]}`); *e.Code != "invalid_value" || !strings.Contains(e.Message, "no tokens") {
		t.Errorf("%+v", e)
	}
}

// TestTextEndsSomewhere bounds what one request may write, where no context does.
func TestTextEndsSomewhere(t *testing.T) {
	s := newTextServer(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := 0
	err := send(ctx, s, `{"prompt": "x", "max_tokens": 2147483647, "stream": true, "stream_options": {"include_usage": true}}`, func(v any) error {
		if c := v.(*Chunk); c.Usage != nil {
			n = c.Usage.Completion
		}
		return nil
	})
	if err != nil || n != maxContinued {
		t.Errorf("%d tokens, %v", n, err)
	}
}
