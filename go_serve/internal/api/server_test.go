package api

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"minitron/internal/bundle"
	"minitron/internal/chat"
	"minitron/internal/engine"
	"minitron/internal/testmodel"
)

// TestEqualsTheTerminal compares with what the terminal chat says for the same seed.
func TestEqualsTheTerminal(t *testing.T) {
	s := newServer(t, Limits{})
	e := testEngine(t)
	e.Ready()
	for seed := range uint64(5) {
		sampling := bundle.Sampling{Temperature: 1.5, TopP: 1, RepeatPenalty: 1.1, MaxTokens: 20}
		want, err := chat.New(e, "be", sampling, seed).Say(context.Background(), "hi", nil)
		if err != nil {
			t.Fatal(err)
		}
		body := fmt.Sprintf(`{"messages": [{"role": "system", "content": "be"}, {"role": "user", "content": "hi"}],
			"temperature": 1.5, "top_p": 1, "top_k": 0, "min_p": 0, "repeat_penalty": 1.1, "max_tokens": 20, "seed": %d}`, seed)
		got := one(t, s, body)
		if got.text() != want.Text || got.Minitron.Seed != seed {
			t.Errorf("seed %d: %q, want %q", seed, got.text(), want.Text)
		}
	}
}

func TestWholeAnswer(t *testing.T) {
	s := newServer(t, Limits{})
	r := one(t, s, "{"+hi+`, "max_tokens": 5}`)
	c := r.Choices[0]
	if r.Object != "chat.completion" || r.Model != "llama-qknorm" || len(r.Choices) != 1 || c.Message.Role != "assistant" || c.Logprobs != nil {
		t.Errorf("%+v", r)
	}
	if u := *r.Usage; u.Prompt != 5 || u.Completion != 5 || u.Total != 10 || c.Finish != "length" || r.Minitron.Stopped != engine.StopMaxTokens {
		t.Errorf("%+v, finished by %s, %+v", u, c.Finish, r.Minitron)
	}
	full := one(t, s, "{"+hi+`, "max_tokens": 1000, "temperature": 50, "top_k": 0, "top_p": 1, "seed": 4}`)
	if full.Choices[0].Finish == "length" && (full.Minitron.Stopped != engine.StopContext || full.Usage.Total != 64) {
		t.Errorf("%+v %+v", full.Usage, full.Minitron)
	}
}

// TestStreamEqualsWhole compares both ways, for both kinds, with and without log-probabilities.
func TestStreamEqualsWhole(t *testing.T) {
	s := newServer(t, Limits{})
	for _, body := range []string{
		"{" + hi + `, "logprobs": true, "top_logprobs": 3, "temperature": 3, "seed": 8, "max_tokens": 30`,
		"{" + hi + `, "temperature": 3, "seed": 9, "top_k": 0, "top_p": 1, "max_tokens": 30`,
		`{"prompt": "hi", "logprobs": 2, "temperature": 3, "seed": 8, "max_tokens": 30`,
		`{"prompt": "hi\n", "echo": true, "temperature": 3, "seed": 8, "max_tokens": 30`,
	} {
		want := one(t, s, body+"}")
		parts, err := ask(context.Background(), s, body+`, "stream": true, "stream_options": {"include_usage": true}}`)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		var told []string
		var offsets []int
		finishes := 0
		for i, p := range parts {
			text.WriteString(p.text())
			for _, c := range p.Choices {
				if c.Logprobs != nil {
					for _, token := range c.Logprobs.Content {
						told = append(told, token.Token)
					}
					told = append(told, c.Logprobs.Tokens...)
					offsets = append(offsets, c.Logprobs.Offsets...)
				}
				if c.Finish != "" {
					finishes++
					if i != len(parts)-2 || p.Minitron == nil || p.Minitron.Seed != want.Minitron.Seed || c.Finish != want.Choices[0].Finish {
						t.Errorf("part %d finishes: %+v", i, p)
					}
				}
			}
			if (p.Usage != nil) != (i == len(parts)-1) || p.Usage != nil && (len(p.Choices) != 0 || p.Usage.Total != want.Usage.Total) {
				t.Errorf("part %d: %+v", i, p)
			}
		}
		if text.String() != want.text() || finishes != 1 {
			t.Errorf("streamed %q with %d ends, whole %q", text.String(), finishes, want.text())
		}
		var wantTold []string
		if l := want.Choices[0].Logprobs; l != nil {
			for _, token := range l.Content {
				wantTold = append(wantTold, token.Token)
			}
			wantTold = append(wantTold, l.Tokens...)
			if !slices.Equal(offsets, l.Offsets) {
				t.Errorf("offsets %v, whole %v", offsets, l.Offsets)
			}
			if len(wantTold) != want.Usage.Completion {
				t.Errorf("%d tokens are told of %d", len(wantTold), want.Usage.Completion)
			}
		}
		if !slices.Equal(told, wantTold) {
			t.Errorf("told %q, whole %q", told, wantTold)
		}
	}
}

// TestSeveralChoices holds that n answers are those of n requests with the following seeds, whole and streamed.
func TestSeveralChoices(t *testing.T) {
	s := newServer(t, Limits{})
	for _, body := range []string{
		"{" + hi + `, "logprobs": true, "temperature": 3, "max_tokens": 12`,
		`{"prompt": "hi", "echo": true, "temperature": 3, "max_tokens": 12`,
	} {
		var want [3]string
		written := 0
		for i := range want {
			single := one(t, s, fmt.Sprintf(`%s, "seed": %d}`, body, 7+i))
			want[i] = single.text()
			written += single.Usage.Completion
		}
		whole := one(t, s, body+`, "seed": 7, "n": 3}`)
		if len(whole.Choices) != 3 || whole.Usage.Completion != written || whole.Usage.Total != whole.Usage.Prompt+written || want[0] == want[1] {
			t.Errorf("%d choices, %+v, want %d tokens", len(whole.Choices), whole.Usage, written)
		}
		for i, c := range whole.Choices {
			if c.Text+c.Message.Content != want[i] || c.Index != i || c.Finish == "" {
				t.Errorf("choice %d: %+v, want %q", i, c, want[i])
			}
		}
		parts, err := ask(context.Background(), s, body+`, "seed": 7, "n": 3, "stream": true, "stream_options": {"include_usage": true}}`)
		if err != nil {
			t.Fatal(err)
		}
		var got [3]string
		finished := 0
		for _, p := range parts {
			for _, c := range p.Choices {
				got[c.Index] += c.Text + c.Delta.Content
				if c.Finish != "" {
					finished++
				}
			}
		}
		if usage := parts[len(parts)-1].Usage; got != want || finished != 3 || usage.Completion != written {
			t.Errorf("streamed %q with %d ends, %+v, want %q", got, finished, usage, want)
		}
	}
}

func TestStopAndPenalties(t *testing.T) {
	s := newServer(t, Limits{})
	s.Settings.Sampling.MaxTokens = 30
	free := one(t, s, "{"+hi+`, "temperature": 1, "seed": 3}`)
	text := []rune(free.text())
	if len(text) < 8 {
		t.Fatalf("%q is too short for this test", string(text))
	}
	stop := string(text[4:6])
	want, _, _ := strings.Cut(free.text(), stop)
	got := one(t, s, fmt.Sprintf("{"+hi+`, "temperature": 1, "seed": 3, "stop": %q}`, stop))
	if got.text() != want || got.Choices[0].Finish != "stop" || got.Minitron.Stopped != engine.StopSequence {
		t.Errorf("%q of %q, finished by %s, want %q", got.text(), string(text), got.Choices[0].Finish, want)
	}
	// A penalty that outweighs all logits: no byte comes twice.
	once := one(t, s, "{"+hi+`, "logprobs": true, "presence_penalty": 2, "frequency_penalty": 2, "max_tokens": 12}`)
	seen := map[string]int{}
	for _, token := range once.Choices[0].Logprobs.Content {
		seen[fmt.Sprint(token.Bytes)]++
	}
	repeated := one(t, s, "{"+hi+`, "logprobs": true, "presence_penalty": -2, "frequency_penalty": -2, "max_tokens": 12}`)
	most := 0
	counts := map[string]int{}
	for _, token := range repeated.Choices[0].Logprobs.Content {
		counts[fmt.Sprint(token.Bytes)]++
		most = max(most, counts[fmt.Sprint(token.Bytes)])
	}
	if len(seen) != 12 || most < 4 {
		t.Errorf("with penalties %d different tokens of 12; with rewards one comes %d times", len(seen), most)
	}
}

func TestLogprobs(t *testing.T) {
	s := newServer(t, Limits{})
	r := one(t, s, "{"+hi+`, "logprobs": true, "top_logprobs": 20, "temperature": 0, "repeat_penalty": 1}`)
	var bytes []byte
	for _, token := range r.Choices[0].Logprobs.Content {
		if len(token.Top) != 20 || token.Logprob > 0 || len(token.Bytes) != 1 {
			t.Fatalf("%+v", token)
		}
		sorted := slices.IsSortedFunc(token.Top, func(a, b topLogprob) int {
			if a.Logprob > b.Logprob {
				return -1
			}
			return 1
		})
		if !sorted {
			t.Errorf("not sorted: %+v", token.Top)
		}
		bytes = append(bytes, byte(token.Bytes[0]))
	}
	if got := strings.ToValidUTF8(string(bytes), "\uFFFD"); strings.ReplaceAll(got, "\uFFFD", "") != strings.ReplaceAll(r.text(), "\uFFFD", "") {
		t.Errorf("the bytes spell %q, the text is %q", got, r.text())
	}
	if plain := one(t, s, "{"+hi+`, "logprobs": true}`); len(plain.Choices[0].Logprobs.Content[0].Top) != 0 {
		t.Errorf("top_logprobs were not asked for: %+v", plain.Choices[0].Logprobs)
	}
}

func TestContext(t *testing.T) {
	s := newServer(t, Limits{})
	turn := `{"role": "user", "content": "0123456789"}, {"role": "assistant", "content": "0123456789"}, `
	long := `"messages": [` + strings.Repeat(turn, 4) + `{"role": "user", "content": "hi"}]`
	e := refusal(t, s, "{"+long+"}")
	if *e.Code != "context_length_exceeded" || *e.Param != "messages" || e.Status != 400 ||
		!strings.HasPrefix(e.Message, "This model's maximum context length is 64 tokens") || !strings.Contains(e.Message, "your messages resulted in 101 tokens") {
		t.Errorf("%+v", e)
	}
	if r := one(t, s, "{"+long+`, "truncation": "auto"}`); r.Minitron.DroppedTurns != 2 || r.Usage.Prompt != 2*24+5 { // of 64 8 are kept for the answer
		t.Errorf("trimmed: %+v, %+v", r.Minitron, r.Usage)
	}
	e = refusal(t, s, `{"prompt": "`+strings.Repeat("x", 64)+`"}`)
	if *e.Code != "context_length_exceeded" || *e.Param != "prompt" {
		t.Errorf("%+v", e)
	}
	if r := one(t, s, `{"prompt": "`+strings.Repeat("x", 63)+`"}`); r.Usage.Prompt != 63 || r.Usage.Completion > 1 {
		t.Errorf("%+v", r.Usage)
	}
}

func TestSystemOfTheModel(t *testing.T) {
	s := newServer(t, Limits{})
	s.Settings.System = "be"
	if r := one(t, s, "{"+hi+"}"); r.Usage.Prompt != 9 {
		t.Errorf("the model's own system message is not there: %+v", r.Usage)
	}
	if r := one(t, s, `{"messages": [{"role": "system", "content": ""}, {"role": "user", "content": "hi"}]}`); r.Usage.Prompt != 5 {
		t.Errorf("an empty system message does not take it away: %+v", r.Usage)
	}
}

// TestWarmth plays two conversations in turn: each finds its own cache; a third one takes the older's place.
func TestWarmth(t *testing.T) {
	s := newServer(t, Limits{Slots: 2})
	grow := func(said *string, text string) int {
		r := one(t, s, fmt.Sprintf(`{"messages": [%s{"role": "user", "content": "%s"}], "max_tokens": 2}`, *said, text))
		*said += fmt.Sprintf(`{"role": "user", "content": "%s"}, {"role": "assistant", "content": %q}, `, text, "ab")
		return r.Usage.Details.Cached
	}
	var a, b, c string
	if cold := []int{grow(&a, "first"), grow(&b, "other")}; !slices.Equal(cold, []int{0, 0}) {
		t.Errorf("at first %v tokens were known", cold)
	}
	if warm := []int{grow(&a, "again"), grow(&b, "again")}; warm[0] < 7 || warm[1] < 7 {
		t.Errorf("in the second turn %v tokens were known", warm)
	}
	grow(&c, "third")
	if s.pool.made != 2 || len(s.pool.free) != 2 {
		t.Errorf("%d slots, %d free", s.pool.made, len(s.pool.free))
	}
	if warm := grow(&b, "more"); warm < 7 { // a was unused for longest
		t.Errorf("the newer conversation lost its cache: %d", warm)
	}
}

// TestQueue fills the only slot and the queue.
func TestQueue(t *testing.T) {
	s := newServer(t, Limits{Slots: 1, Queue: 2})
	s.Ready()
	holder, _ := s.pool.take(context.Background(), nil, nil)
	waiting := func(n int) {
		for {
			s.pool.mu.Lock()
			got := len(s.pool.waiting)
			s.pool.mu.Unlock()
			if got == n {
				return
			}
			runtime.Gosched()
		}
	}
	gone, leave := context.WithCancel(context.Background())
	results := make(chan error, 2)
	for n, ctx := range []context.Context{gone, context.Background()} {
		go func() {
			_, err := ask(ctx, s, "{"+hi+"}")
			results <- err
		}()
		waiting(n + 1)
	}
	if e := refusal(t, s, "{"+hi+"}"); e.Status != 503 || e.RetryAfter != 1 || *e.Code != "server_busy" || e.Type != "server_error" {
		t.Errorf("a full queue: %+v", e)
	}
	leave()
	if err := <-results; err != context.Canceled {
		t.Errorf("who gave up: %v", err)
	}
	waiting(1)
	s.pool.give(holder)
	if err := <-results; err != nil {
		t.Errorf("who waited: %v", err)
	}
	if len(s.pool.free) != 1 {
		t.Errorf("%d free slots at the end", len(s.pool.free))
	}
}

// TestWaitingIsTold holds that who streams hears something while others are answered.
func TestWaitingIsTold(t *testing.T) {
	s := newServer(t, Limits{Slots: 1})
	s.Ready()
	synctest.Test(t, func(t *testing.T) {
		holder, _ := s.pool.take(t.Context(), nil, nil)
		go func() {
			time.Sleep(2*waitingInterval + time.Second)
			s.pool.give(holder)
		}()
		told := 0
		err := send(t.Context(), s, "{"+hi+`, "stream": true}`, func(v any) error {
			if v == any(Waiting{}) {
				told++
			}
			return nil
		})
		if err != nil || told != 2 {
			t.Errorf("told %d times, %v", told, err)
		}
		holder, _ = s.pool.take(t.Context(), nil, nil)
		gone := errors.New("gone")
		if err := send(t.Context(), s, "{"+hi+`, "stream": true}`, func(any) error { return gone }); err != gone {
			t.Errorf("%v", err)
		}
		if len(s.pool.waiting) != 0 {
			t.Error("who is gone still waits")
		}
		s.pool.give(holder)
	})
}

// TestNobodyWaitsForASlowReader asks in the middle of another answer, whose client does not read on.
func TestNobodyWaitsForASlowReader(t *testing.T) {
	s := newServer(t, Limits{Slots: 2})
	inner := ""
	err := send(context.Background(), s, "{"+hi+`, "stream": true}`, func(any) error {
		if inner == "" {
			inner = one(t, s, `{"prompt": "hello"}`).text()
		}
		return nil
	})
	if err != nil || inner == "" {
		t.Errorf("%q, %v", inner, err)
	}
}

func TestCancelAndDisconnect(t *testing.T) {
	s := newServer(t, Limits{Slots: 1})
	ctx, cancel := context.WithCancel(context.Background())
	sent := 0
	err := send(ctx, s, "{"+hi+`, "stream": true, "max_tokens": 40}`, func(any) error {
		if sent++; sent == 3 {
			cancel()
		}
		return nil
	})
	if err != context.Canceled || sent != 3 {
		t.Errorf("cancelled: %v after %d parts", err, sent)
	}
	gone := errors.New("gone")
	if err := send(context.Background(), s, "{"+hi+`, "stream": true}`, func(any) error { return gone }); err != gone {
		t.Errorf("disconnected: %v", err)
	}
	if len(s.pool.free) != 1 { // the slot is free again
		t.Errorf("%d free slots", len(s.pool.free))
	}
	one(t, s, "{"+hi+"}")
}

// TestManyAtOnce asks everything at once that was asked one by one before, with fewer slots than clients.
func TestManyAtOnce(t *testing.T) {
	s := newServer(t, Limits{Slots: 3, Queue: 100})
	var bodies, want []string
	for n := range 24 {
		bodies = append(bodies, fmt.Sprintf(`{"messages": [{"role": "user", "content": "hi %d"}], "temperature": 2, "seed": %d, "max_tokens": 25}`, n%5, n))
		want = append(want, one(t, newServer(t, Limits{}), bodies[n]).text())
	}
	got := make([]string, len(bodies))
	var all sync.WaitGroup
	for n, body := range bodies {
		all.Go(func() {
			replies, err := ask(context.Background(), s, body)
			if err != nil {
				t.Error(err)
				return
			}
			got[n] = replies[0].text()
		})
	}
	all.Wait()
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if s.pool.made > 3 {
		t.Errorf("%d slots were made", s.pool.made)
	}
}

// TestEndless answers a prompt that is longer than any row in training was, and ends an answer that would not end.
func TestEndless(t *testing.T) {
	e, err := engine.New(testmodel.Stream(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	s := New(e, Limits{})
	s.Settings.Sampling.Temperature, s.Settings.Sampling.MaxTokens = 0, 3
	for _, body := range []string{
		`{"prompt": "` + strings.Repeat("long ", 60) + `"}`,
		`{"messages": [{"role": "user", "content": "` + strings.Repeat("long ", 60) + `"}]}`,
	} {
		err := send(context.Background(), s, body, func(any) error { return nil })
		if err != nil {
			t.Error(err)
		}
	}
}
