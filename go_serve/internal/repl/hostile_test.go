package repl

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"minitron/internal/chat"
	"minitron/internal/edit"
	"minitron/internal/lang"
)

// TestQuestions shows what a person may ask first, and types it for them.
func TestQuestions(t *testing.T) {
	begin := func(questions []string, keys string) (screen string, history []string) {
		k := &keyboard{typed: strings.SplitAfter(keys, "\r")}
		h := edit.OpenHistory("")
		options := Options{Editor: &edit.Reader{Terminal: k, History: h}, Out: io.Discard, Err: k, Lang: &lang.Russian, Prompt: true, Questions: questions}
		if err := Run(newChat(t, 2), options); err != nil {
			t.Fatal(err)
		}
		return k.drawn.String(), h.Entries()
	}
	screen, history := begin([]string{"Who are you?", "two\n  lines", "/quit", strings.Repeat("x", 201), "", "Why?", "Fourth?"}, "\t\r\t\t\r\t\t\t\t\r/st\t\rWhy\t\r")
	if want := "Можно спросить (Tab напишет за вас):\n  Who are you?\n  two lines\n  Why?\n"; !strings.Contains(screen, want) {
		t.Errorf("%q does not hold %q", screen, want)
	}
	if want := []string{"Who are you?", "two lines", "Who are you?", "/stats ", "Why"}; !reflect.DeepEqual(history, want) {
		t.Errorf("sent %q, want %q", history, want)
	}
	if screen, history = begin(nil, "\t\rx\r"); strings.Contains(screen, "спросить") || len(history) != 1 {
		t.Errorf("without questions: %q, %q", screen, history)
	}
	// A terminal that cannot move its cursor has no Tab; a pipe gets no questions.
	var notes bytes.Buffer
	options := Options{In: strings.NewReader(""), Out: io.Discard, Err: &notes, Lang: &lang.English, Questions: []string{"Why?"}}
	for _, prompt := range []bool{false, true} {
		notes.Reset()
		options.Prompt = prompt
		if err := Run(newChat(t, 2), options); err != nil || strings.Contains(notes.String(), "You could ask:\n  Why?\n") != prompt {
			t.Errorf("%q, %v", notes.String(), err)
		}
	}
}

// TestBundlesCannotSteerTheTerminal: what a bundle says of itself is text.
func TestBundlesCannotSteerTheTerminal(t *testing.T) {
	var notes bytes.Buffer
	const evil = "\x1b]0;title\x07\x1b[2J\u009b5m\r\u202e\u2066"
	options := Options{In: strings.NewReader("/system\n"), Out: io.Discard, Err: &notes, Lang: &lang.English, Prompt: true,
		Name: "n" + evil, Greeting: "g" + evil + "\nsecond", Questions: []string{"q" + evil}}
	c := newChat(t, 2)
	c.SetSystem("s" + evil)
	if err := Run(c, options); err != nil {
		t.Fatal(err)
	}
	if got := notes.String(); strings.ContainsAny(got, "\x1b\x07\r\u009b\u202e\u2066") || strings.Count(got, "\uFFFD[2J") != 4 || !strings.Contains(got, "\nsecond\n") {
		t.Errorf("%q", got)
	}
}

// FuzzLoad gives any file to /load. What is taken comes back from /save as it was, and what is not leaves the chat alone.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		`{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}`,
		`{"messages": [{"role": "user", "content": "\u0000\ud83d<|user|>"}, {"role": "assistant", "content": ""}]}`,
		`{"messages": [{"role": "assistant", "content": "b"}]}`, `{"messages": [null]}`, `{"messages": {}}`, `{"messages": []}`, "", "[]", "\xef\xbb\xbf{}",
		`{"messages": [{"role": "system", "content": "s"}]}`, strings.Repeat("[", 20000), `{"MESSAGES": [{"ROLE": "system"}]}`,
	} {
		f.Add([]byte(seed))
	}
	before := []chat.Message{{Role: "user", Content: "hello"}, {Role: "assistant", Content: "you"}}
	folder := f.TempDir()
	c := newChat(f, 2)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, again := filepath.Join(folder, "loaded.json"), filepath.Join(folder, "saved.json")
		os.Remove(again)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.Restore(before); err != nil {
			t.Fatal(err)
		}
		var notes bytes.Buffer
		r := &repl{Options: Options{Err: &notes, Lang: &lang.English}, chat: c}
		r.load(file)
		messages := c.Messages()
		if strings.Contains(notes.String(), "holds no conversation") {
			if !reflect.DeepEqual(messages, before) {
				t.Fatalf("%q changed the chat: %q", data, messages)
			}
			return
		}
		if !strings.Contains(notes.String(), " goes on here; turns: ") || strings.Count(notes.String(), "\n") != 1 {
			t.Fatalf("%q: %q", data, notes.String())
		}
		r.save(again)
		if c.Turns() == 0 {
			return
		}
		saved, err := os.ReadFile(again)
		if err != nil || !json.Valid(saved) {
			t.Fatalf("%q is saved as %q, %v", data, saved, err)
		}
		r.load(again)
		if got := c.Messages(); !reflect.DeepEqual(got, messages) {
			t.Fatalf("%q: %q comes back as %q", data, messages, got)
		}
	})
}
