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

// lines returns what ollama's client gets for a body: of /api/generate with a prompt, else of /api/chat.
func lines(t testing.TB, s *Server, body string) (got []Line) {
	t.Helper()
	read := s.OllamaChat
	if strings.Contains(body, `"prompt"`) {
		read = s.OllamaGenerate
	}
	work, err := read([]byte(body))
	if err == nil {
		err = work(context.Background(), func(v any) error {
			got = append(got, *v.(*Line))
			return nil
		})
	}
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return got
}

func (l Line) text() string {
	if l.Message != nil {
		return l.Message.Content
	}
	return *l.Response
}

// TestOllamaSystem asks a server with a system message of its own: one in the request takes its place, an empty one is none.
func TestOllamaSystem(t *testing.T) {
	s := newServer(t, Limits{})
	s.Settings.System = "be"
	for system, tokens := range map[string]int{``: 9, `"system": "", `: 9, `"system": "b", `: 8} {
		if got := lines(t, s, `{"prompt": "hi", `+system+`"stream": false}`)[0].durations.Prompt; got != tokens {
			t.Errorf("%s: a prompt of %d tokens, want %d", system, got, tokens)
		}
	}
}

// TestOllamaEqualsOpenAI holds that the same question gets the same answer in either language, whole and streamed.
func TestOllamaEqualsOpenAI(t *testing.T) {
	s := newServer(t, Limits{})
	const more = `"temperature": 2, "top_p": 0.9, "top_k": 50, "repeat_penalty": 1.2, "seed": 5, "stop": ["qqq"]`
	for ollama, openai := range map[string]string{
		`{` + hi + `, "options": {` + more + `, "num_predict": 12, "num_ctx": 4096, "mirostat": 0}, "keep_alive": "5m", "think": false`:                           `{` + hi + `, ` + more + `, "max_tokens": 12}`,
		`{"prompt": "hi", "options": {` + more + `, "num_predict": 12}`:                                                                                           `{` + hi + `, ` + more + `, "max_tokens": 12}`,
		`{"prompt": "hi", "system": "be", "options": {` + more + `, "num_predict": -1}`:                                                                           `{"messages": [{"role": "system", "content": "be"}, {"role": "user", "content": "hi"}], ` + more + `, "max_tokens": 1000, "truncation": "auto"}`,
		`{"prompt": "hi", "raw": true, "options": {` + more + `}`:                                                                                                 `{"prompt": "hi", ` + more + `}`,
		`{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]`:                                                                `{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}`,
		`{"messages": [{"role": "user", "content": "` + strings.Repeat("0", 50) + `"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "hi"}]`: `{` + hi + `}`,
	} {
		want := one(t, s, openai)
		whole := lines(t, s, ollama+`, "stream": false}`)
		if len(whole) != 1 || whole[0].text() != want.text() || !whole[0].Done || whole[0].Reason != want.Choices[0].Finish {
			t.Errorf("%s: %+v, want %q", ollama, whole, want.text())
		}
		d := whole[0].durations
		if d.Prompt != want.Usage.Prompt || d.Answer != want.Usage.Completion || d.Total != d.Load+d.PromptEval+d.AnswerEval || d.PromptEval <= 0 || d.AnswerEval <= 0 {
			t.Errorf("%s: %+v, want %+v", ollama, d, want.Usage)
		}
		var text strings.Builder
		streamed := lines(t, s, ollama+`}`)
		for i, l := range streamed {
			text.WriteString(l.text())
			if last := i == len(streamed)-1; l.Done != last || last != (l.durations != nil) || l.Model != "llama-qknorm:latest" {
				t.Errorf("line %d of %d: %+v", i, len(streamed), l)
			}
		}
		if text.String() != want.text() {
			t.Errorf("%s streamed %q, want %q", ollama, &text, want.text())
		}
	}
	data, err := json.Marshal(lines(t, s, `{`+hi+`, "stream": false, "options": {"num_predict": 2}, "logprobs": true, "top_logprobs": 2, "model": "LLAMA-qknorm:latest"}`)[0])
	for _, want := range []string{`{"model":"LLAMA-qknorm:latest","created_at":"20`, `"message":{"role":"assistant","content":"`, `"done":true,"done_reason":"`, `"logprobs":[{"token":"`,
		`"total_duration":`, `"load_duration":`, `"prompt_eval_count":5,`, `"prompt_eval_duration":`, `"eval_count":2,`, `"eval_duration":`} {
		if err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s has no %s", data, want)
		}
	}
}

// TestOllamaLoads holds that who asks for nothing is told that the model is there.
func TestOllamaLoads(t *testing.T) {
	s := newServer(t, Limits{})
	for _, body := range []string{`{}`, `{"messages": []}`, `{"model": "llama-qknorm", "prompt": ""}`, `{"messages": [], "keep_alive": 0}`} {
		got := lines(t, s, body)
		if len(got) != 1 || !got[0].Done || got[0].Reason != "load" || got[0].text() != "" {
			t.Errorf("%s: %+v", body, got)
		}
	}
}

// TestOllamaOfText holds that a model that continues text continues a prompt, whether it is raw or not.
func TestOllamaOfText(t *testing.T) {
	e, err := engine.New(testmodel.Text(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	s := New(e, Limits{})
	s.Settings.Sampling.Temperature = 0
	want := one(t, s, `{"prompt": "Once", "max_tokens": 9}`).text()
	for _, more := range []string{``, `, "raw": true`, `, "system": "be"`} {
		if got := lines(t, s, `{"prompt": "Once", "stream": false, "options": {"num_predict": 9}`+more+`}`)[0].text(); got != want {
			t.Errorf("%s: %q, want %q", more, got, want)
		}
	}
}

func TestOllamaRefusals(t *testing.T) {
	s := newServer(t, Limits{})
	for body, want := range map[string]string{
		`{`:                                               "not complete JSON",
		`{"model": "gpt", ` + hi + `}`:                    "does not exist",
		`{"model": "gpt", "messages": []}`:                "does not exist",
		`{` + hi + `, "tools": [{}]}`:                     "'tools' is not supported",
		`{` + hi + `, "format": "json"}`:                  "'format' is not supported",
		`{` + hi + `, "think": true}`:                     "'think' is not supported",
		`{` + hi + `, "options": 5}`:                      "expected an object",
		`{` + hi + `, "options": {"temperature": "hot"}}`: "'options.temperature': expected a number",
		`{` + hi + `, "options": {"stop": 5}}`:            "'options.stop'",
		`{` + hi + `, "options": {"num_predict": -3}}`:    "'options.num_predict'",
		`{"messages": [{"role": "user", "content": "x", "images": ["aa"]}]}`: "'messages[0].images' is not supported",
		`{"messages": [{"role": "tool", "content": "x"}]}`:                   "calls no tools",
		`{"messages": [{"role": "user", "content": "` + strings.Repeat("x", 60) + `"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "hi"}], "truncate": false}`: "maximum context length",
		`{"prompt": "hi", "images": ["aa"]}`:  "'images' is not supported",
		`{"prompt": "hi", "suffix": "b"}`:     "'suffix' is not supported",
		`{"prompt": "hi", "template": "b"}`:   "'template' is not supported",
		`{"prompt": "hi", "context": [1, 2]}`: "'context' is not supported",
		`{"prompt": 5}`:                       "expected a string",
	} {
		read := s.OllamaChat
		if strings.Contains(body, `"prompt"`) {
			read = s.OllamaGenerate
		}
		_, err := read([]byte(body))
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Message, want) {
			t.Errorf("%.100s: %v, want %q", body, err, want)
		}
	}
}
