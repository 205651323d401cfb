package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"minitron/internal/bundle"
	"minitron/internal/engine"
	"minitron/internal/testmodel"
	"minitron/internal/tokenizer"
	"minitron/internal/weights"
)

const hi = `"messages": [{"role": "user", "content": "hi"}]`

func TestRefusals(t *testing.T) {
	s := newServer(t, Limits{})
	chat := func(members string) string { return "{" + hi + ", " + members + "}" }
	text := func(members string) string { return `{"prompt": "hi", ` + members + "}" }
	message := func(m string) string { return `{"messages": [` + m + "]}" }
	tests := []struct {
		body, code, param, message string
	}{
		{``, "invalid_json", "", "not complete JSON"},
		{`{`, "invalid_json", "", "not complete JSON"},
		{`{"a" 1}`, "invalid_json", "", "not valid JSON"},
		{`null`, "invalid_json", "", "must be a JSON object"},
		{`[1]`, "invalid_json", "", "must be a JSON object"},
		{`{} {}`, "invalid_json", "", "not valid JSON"},
		{`{"seed": 1, "seed": 2}`, "invalid_json", "", "not valid JSON"},
		{"{\"user\": \"\xff\"}", "invalid_json", "", "not valid JSON"},
		{`{"user": ` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, "invalid_json", "", "not valid JSON"},

		{`{}`, "missing_required_parameter", "messages", "Missing required parameter: 'messages'."},
		{`{"messages": null}`, "missing_required_parameter", "messages", ""},
		{`{"messages": "hi"}`, "invalid_type", "messages", "expected an array, but got a string"},
		{message(``), "invalid_value", "messages", "at least one message"},
		{message(`"hi"`), "invalid_type", "messages[0]", "expected an object, but got a string"},
		{message(`{"content": "hi"}`), "invalid_value", "messages[0].role", ""},
		{message(`{"role": "tool", "content": "hi"}`), "invalid_value", "messages[0].role", "this model calls no tools"},
		{message(`{"role": 1, "content": "hi"}`), "invalid_type", "messages[0].role", ""},
		{message(`{"role": "user"}`), "missing_required_parameter", "messages[0].content", ""},
		{message(`{"role": "user", "content": 7}`), "invalid_type", "messages[0].content", "a string or an array of parts, but got a number"},
		{message(`{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}`), "invalid_value", "messages[0].content[0].type", "only parts of type 'text'"},
		{message(`{"role": "user", "content": [{"type": "text"}]}`), "missing_required_parameter", "messages[0].content[0].text", ""},
		{message(`{"role": "user", "content": [7]}`), "invalid_type", "messages[0].content[0]", ""},
		{message(`{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "tool_calls": [{}]}`), "unsupported_parameter", "messages[1].tool_calls", ""},
		{message(`{"role": "user", "content": null}`), "missing_required_parameter", "messages[0].content", ""},
		{`{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "continue_final_message": false}`, "invalid_value", "messages", "the last message must be a user's"},
		{chat(`"continue_final_message": true`), "invalid_value", "continue_final_message", "no assistant's message at the end"},
		{chat(`"continue_final_message": 1`), "invalid_type", "continue_final_message", ""},

		{chat(`"model": "gpt-x"`), "model_not_found", "model", "The model 'gpt-x' does not exist. The one that is here is 'llama-qknorm'."},
		{chat(`"model": 5`), "invalid_type", "model", "expected a string, but got a number"},
		{chat(`"stream": "yes"`), "invalid_type", "stream", "expected a boolean, but got a string"},
		{chat(`"stream_options": true`), "invalid_type", "stream_options", "expected an object, but got a boolean"},
		{chat(`"temperature": "hot"`), "invalid_type", "temperature", "expected a number, but got a string"},
		{chat(`"temperature": -0.1`), "invalid_value", "temperature", "it must be within 0 to 100"},
		{chat(`"temperature": 1e999`), "invalid_value", "temperature", ""},
		{chat(`"top_p": 1.01`), "invalid_value", "top_p", ""},
		{chat(`"top_k": 1.5`), "invalid_type", "top_k", "expected an integer"},
		{chat(`"top_k": -1`), "invalid_value", "top_k", ""},
		{chat(`"min_p": 2`), "invalid_value", "min_p", ""},
		{chat(`"repeat_penalty": 0`), "invalid_value", "repeat_penalty", ""},
		{chat(`"presence_penalty": 2.1`), "invalid_value", "presence_penalty", "within -2 to 2"},
		{chat(`"frequency_penalty": -2.1`), "invalid_value", "frequency_penalty", ""},
		{chat(`"max_tokens": 0`), "invalid_value", "max_tokens", ""},
		{chat(`"max_completion_tokens": 1e10`), "invalid_value", "max_completion_tokens", ""},
		{chat(`"seed": 1.5`), "invalid_value", "seed", ""},
		{chat(`"seed": 18446744073709551616`), "invalid_value", "seed", ""},
		{chat(`"seed": "1"`), "invalid_type", "seed", ""},
		{chat(`"stop": 5`), "invalid_type", "stop", "a string or an array of strings"},
		{chat(`"stop": "` + strings.Repeat("x", 1025) + `"`), "invalid_value", "stop", "at most 1024 bytes"},
		{chat(`"stop": ["a", 5]`), "invalid_type", "stop[1]", ""},
		{chat(`"stop": [` + strings.Repeat(`"a", `, 16) + `"a"]`), "invalid_value", "stop", "at most 16"},
		{chat(`"logprobs": 5`), "invalid_type", "logprobs", "expected a boolean"},
		{chat(`"top_logprobs": 5`), "invalid_value", "top_logprobs", "needs 'logprobs'"},
		{chat(`"logprobs": true, "top_logprobs": 21`), "invalid_value", "top_logprobs", "within 0 to 20"},
		{chat(`"truncation": "some"`), "invalid_value", "truncation", "'auto' or 'disabled'"},

		{chat(`"n": 0`), "invalid_value", "n", "within 1 to 16"},
		{chat(`"n": 17`), "invalid_value", "n", "within 1 to 16"},
		{chat(`"n": 1.5`), "invalid_type", "n", "expected an integer"},
		{chat(`"zzz": 1, "tools": [{}], "aaa": 1`), "unknown_parameter", "zzz", ""}, // the first of them
		{chat(`"tools": [{}], "zzz": 1, "n": 2`), "unsupported_parameter", "tools", ""},
		{chat(`"moderation": {"model": "x"}`), "unsupported_parameter", "moderation", ""},
		{chat(`"tools": [{}]`), "unsupported_parameter", "tools", "'tools' is not supported"},
		{chat(`"tool_choice": "required"`), "unsupported_value", "tool_choice", "can only be none or auto"},
		{chat(`"logit_bias": {"5": 100}`), "unsupported_parameter", "logit_bias", ""},
		{chat(`"response_format": {"type": "json_object"}`), "unsupported_value", "response_format", ""},
		{chat(`"response_format": {"type": "te xt"}`), "unsupported_value", "response_format", ""},
		{chat(`"tool_choice": "no ne"`), "unsupported_value", "tool_choice", ""},
		{chat(`"tools": " "`), "unsupported_parameter", "tools", ""},
		{chat(`"modalities": ["text", "audio"]`), "unsupported_value", "modalities", ""},
		{chat(`"temprature": 1`), "unknown_parameter", "temprature", "Unrecognized request argument supplied: 'temprature'."},
		{chat(`"prompt_": "x"`), "unknown_parameter", "prompt_", ""},

		{`{"prompt": 5}`, "invalid_type", "prompt", "expected a string, but got a number"},
		{`{"prompt": ""}`, "invalid_value", "prompt", "it is empty"},
		{`{"prompt": ["a", "b"]}`, "invalid_value", "prompt", "an array of one string"},
		{`{"prompt": [1, 2]}`, "invalid_value", "prompt", ""},
		{`{"prompt": null}`, "missing_required_parameter", "prompt", ""},
		{text(`"echo": true, "logprobs": 0`), "invalid_value", "echo", "Invalid value for 'echo': it cannot be true with 'logprobs', which are of the continuation only."},
		{text(`"echo": 1`), "invalid_type", "echo", ""},
		{chat(`"echo": true`), "unsupported_parameter", "echo", ""},
		{text(`"suffix": "end"`), "unsupported_parameter", "suffix", ""},
		{text(`"best_of": 3`), "unsupported_value", "best_of", ""},
		{text(`"logprobs": true`), "invalid_type", "logprobs", "expected an integer, but got a boolean"},
		{text(`"logprobs": 21`), "invalid_value", "logprobs", ""},
		{text(`"truncation": "auto"`), "unknown_parameter", "truncation", ""},
	}
	for _, test := range tests {
		e := refusal(t, s, test.body)
		status, param := 400, ""
		if test.code == "model_not_found" {
			status = 404
		}
		if e.Param != nil {
			param = *e.Param
		}
		if e.Status != status || e.Code == nil || *e.Code != test.code || param != test.param || !strings.Contains(e.Message, test.message) || e.Type != "invalid_request_error" {
			data, _ := json.Marshal(e)
			t.Errorf("%.100s: %d %s, want %s, param %q, %q", test.body, e.Status, data, test.code, test.param, test.message)
		}
	}
}

// TestHarmless holds that what asks for nothing, and what changes nothing, is taken.
func TestHarmless(t *testing.T) {
	s := newServer(t, Limits{})
	want := one(t, s, "{"+hi+"}").text()
	for _, members := range []string{
		`"user": "me", "store": true, "metadata": {"a": "b"}, "service_tier": "auto", "parallel_tool_calls": true`,
		`"tools": [], "tool_choice": "auto", "functions": null, "logit_bias": { }, "n": 1, "response_format": { "type": "text" }`,
		`"modalities": ["text"], "reasoning_effort": null, "audio": null, "verbosity": "medium", "unheard_of": null`,
		`"model": "llama-qknorm", "temperature": null, "stop": [], "seed": -9223372036854775808, "top_logprobs": 0`,
		`"max_tokens": 8.0, "seed": 18446744073709551615, "n": 1.0`,
		`"n": 1e0, "cache_prompt": true, "truncation": null, "continue_final_message": false`,
		`"stop": "", "reasoning_effort": "high", "verbosity": "low", "prompt_cache_options": {"mode": "auto"}, "stream_options": null`,
		`"chat_template_kwargs": {"enable_thinking": false}, "think": false, "stop": ["", "\u0000never"]`,
	} {
		if got := one(t, s, "{"+hi+", "+members+"}").text(); got != want {
			t.Errorf("%s: %q, want %q", members, got, want)
		}
	}
	parts := `{"messages": [{"role": "user", "name": "me", "content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}]}`
	if got := one(t, s, parts).text(); got != want {
		t.Errorf("parts: %q, want %q", got, want)
	}
	system := one(t, s, `{"messages": [{"role": "system", "content": "be"}, {"role": "user", "content": "hi"}]}`)
	developer := one(t, s, `{"messages": [{"role": "developer", "content": "be"}, {"role": "user", "content": "hi"}]}`)
	if system.text() != developer.text() || system.Usage.Prompt != developer.Usage.Prompt || system.Usage.Prompt != 9 {
		t.Errorf("system %+v, developer %+v", system.Usage, developer.Usage)
	}
}

// TestOrder holds that what clients send after a stopped answer, or with a greeting, is understood.
func TestOrder(t *testing.T) {
	s := newServer(t, Limits{})
	const u, a, sys = `{"role": "user", "content": "`, `{"role": "assistant", "content": "`, `{"role": "system", "content": "`
	for given, want := range map[string]string{
		u + `a"}, ` + u + `b"}`: u + `a\nb"}`,
		u + `a"}, {"role": "assistant", "content": null}, ` + u + `b"}`:                                       u + `a"}, ` + a + `"}, ` + u + `b"}`,
		u + `a"}, {"role": "assistant"}, ` + u + `b"}`:                                                        u + `a"}, ` + a + `"}, ` + u + `b"}`,
		a + `hey"}, ` + u + `b"}`:                                                                             u + `"}, ` + a + `hey"}, ` + u + `b"}`,
		u + `a"}, ` + a + `x"}, ` + a + `y"}, ` + u + `b"}`:                                                   u + `a"}, ` + a + `x\ny"}, ` + u + `b"}`,
		u + `a"}, ` + sys + `be"}, ` + u + `"}, ` + u + `b"}`:                                                 sys + `be"}, ` + u + `a\nb"}`,
		u + `a"}, {"role": "assistant", "content": ["x", {"type": "refusal", "refusal": "y"}]}, ` + u + `b"}`: u + `a"}, ` + a + `xy"}, ` + u + `b"}`,
		sys + `be"}`: sys + `be"}, ` + u + `"}`,
		sys + `be"}, ` + u + `b"}, {"role": "developer", "content": "brief"}`: sys + `be\nbrief"}, ` + u + `b"}`,
	} {
		got, as := one(t, s, `{"messages": [`+given+`]}`), one(t, s, `{"messages": [`+want+`]}`)
		if got.text() != as.text() || got.Usage.Prompt != as.Usage.Prompt {
			t.Errorf("%s: %q %+v; %s: %q %+v", given, got.text(), got.Usage, want, as.text(), as.Usage)
		}
	}
}

// TestGoesOn holds that an answer that was cut goes on as it would have done.
func TestGoesOn(t *testing.T) {
	s := newServer(t, Limits{})
	compared := 0
	for n := range 400 { // this model says bytes at random: few answers are text
		question := fmt.Sprintf(`{"role": "user", "content": "%d"}`, n)
		ask := func(messages, more string) string {
			return one(t, s, `{"messages": [`+messages+`], "temperature": 0, `+more+`}`).text()
		}
		whole, begun := ask(question, `"max_tokens": 6`), ask(question, `"max_tokens": 3`)
		if begun == "" || strings.ContainsRune(whole, '\ufffd') {
			continue
		}
		quoted, err := json.Marshal(begun)
		if err != nil {
			t.Fatal(err)
		}
		for _, more := range []string{`"continue_final_message": true`, `"n": 1`} {
			rest := ask(question+`, {"role": "assistant", "content": `+string(quoted)+`}, {"role": "system", "content": ""}`, more+`, "max_tokens": 3`)
			if begun+rest != whole {
				t.Errorf("%s: %q + %q, want %q", more, begun, rest, whole)
			}
		}
		compared++
	}
	if compared < 5 {
		t.Errorf("only %d were compared", compared)
	}
	long := strings.Repeat("x", 61) // with "hi" and four markers one token too many
	body := `{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "` + long + `"}], "continue_final_message": true}`
	if e := refusal(t, s, body); *e.Code != "context_length_exceeded" {
		t.Errorf("%+v", e)
	}
}

// TestManyBytesOfFewTokens reads prompts of 12,000 bytes that are a few tokens: a row of characters that the vocabulary lacks is one.
func TestManyBytesOfFewTokens(t *testing.T) {
	tok, err := tokenizer.New(testmodel.Vocabulary(t, "char"))
	if err != nil {
		t.Fatal(err)
	}
	e := &engine.Engine{Config: &bundle.Config{Model: weights.Shape{Context: 64}}, Tokenizer: tok}
	s := New(e, Limits{Slots: 1})
	faces := strings.Repeat("🙂", 3000)
	if n := len(tok.Encode(faces)); n > 2 {
		t.Fatalf("%d tokens", n)
	}
	if _, err := s.Chat([]byte(`{"messages": [{"role": "user", "content": "` + faces + `"}]}`)); err != nil {
		t.Error(err)
	}
	if _, err := s.Complete([]byte(`{"prompt": "` + faces + `"}`)); err != nil {
		t.Error(err)
	}
}

// FuzzBodies: whatever a body is, there is an answer or a refusal in OpenAI's shape, and no panic.
func FuzzBodies(f *testing.F) {
	for _, body := range []string{
		"{" + hi + "}", "{" + hi + `, "stream": true, "logprobs": true, "top_logprobs": 2, "stop": ["a", "б"], "seed": 5, "temperature": 2}`,
		`{"prompt": "hi", "logprobs": 3, "presence_penalty": 1, "frequency_penalty": -1, "max_tokens": 1000}`,
		`{"messages": [{"role": "user"}], "options": {"seed": -1, "num_predict": -2, "stop": "a"}, "logprobs": true}`, `{"prompt": "hi", "raw": true, "stream": false}`,
		`{"prompt": "hi", "echo": true, "stream": true, "n": 3}`, `{"messages": [{"role": "assistant", "content": null}], "continue_final_message": true}`,
		`{"prompt": ["\ud83d\ude00"], "top_p": 0, "min_p": 1, "top_k": 1, "repeat_penalty": 100}`,
		`{"messages": [{"role": "system", "content": ""}, {"role": "user", "content": [{"type": "text", "text": ""}]}], "truncation": "auto"}`,
		`{"messages": [{"role": "user", "content": "` + strings.Repeat("x", 70) + `"}], "n": 1e0}`,
		`{"messages": [{"role": "user", "content": "\u0000<|end|>\u2028"}], "tools": [[[]]]}`, `{"a":{"a":{"a":[`, `"`, `[]`, "\xef\xbb\xbf{}", `{"messages": [null]}`,
	} {
		f.Add([]byte(body))
	}
	s := newServer(f, Limits{})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, read := range []func([]byte) (Work, error){s.Chat, s.Complete, s.OllamaChat, s.OllamaGenerate} {
			answered := false
			work, err := read(body)
			if err == nil {
				err = work(context.Background(), func(v any) error {
					answered = true
					_, err := json.Marshal(v)
					return err
				})
			}
			var e *Error
			switch {
			case err == nil && !answered:
				t.Error("neither an answer nor a refusal")
			case err != nil && !errors.As(err, &e):
				t.Errorf("no refusal: %v", err)
			case err != nil && (answered || !slices.Contains([]int{400, 404}, e.Status) || e.Message == "" || len(e.Message) > 1000):
				t.Errorf("answered %v, then %d %q", answered, e.Status, e.Message)
			}
			if _, err := json.Marshal(ErrorBody{e}); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestSlotsFor(t *testing.T) {
	for bytes, want := range map[int64]int{1 << 10: mostSlots, 21 << 20: 24, 1 << 40: 1, slotBytes(testEngine(t)): mostSlots} {
		if got := slotsFor(bytes); got != want {
			t.Errorf("%d bytes: %d slots, want %d", bytes, got, want)
		}
	}
}
