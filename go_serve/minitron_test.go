package minitron

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

const tiny = "internal/model/testdata/llama-qknorm"

func open(t *testing.T) *Model {
	t.Helper()
	m, err := Open(os.DirFS(tiny), WithThreads(2))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// say returns a whole answer.
func say(t *testing.T, c *Chat, text string) string {
	t.Helper()
	var all strings.Builder
	for part, err := range c.Say(t.Context(), text) {
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(part)
	}
	if all.String() != c.Answer().Text {
		t.Errorf("the parts are %q, the answer %q", all.String(), c.Answer().Text)
	}
	return all.String()
}

// TestEmbedded opens the same model inside the program: the same answers.
func TestEmbedded(t *testing.T) {
	var texts []string
	for _, name := range []string{"config.json", "vocab.json", "weights.bin"} {
		data, err := os.ReadFile(filepath.Join(tiny, name))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(data))
	}
	inside, err := Open(Embedded(texts[0], texts[1], texts[2]))
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	if got, want := say(t, inside.NewChat(WithSeed(3)), "hello"), say(t, open(t).NewChat(WithSeed(3)), "hello"); got != want || got == "" {
		t.Errorf("%q, from files %q", got, want)
	}
	damaged, err := Open(Embedded(texts[0], texts[1], "\x01"+texts[2][1:]))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range damaged.NewChat().Say(t.Context(), "hello") {
		if err == nil || !strings.HasPrefix(err.Error(), "weights.bin is damaged") {
			t.Errorf("damaged weights: %v", err)
		}
	}
	if damaged.Threads() != 0 || damaged.Close() != nil {
		t.Error("a damaged model is not closed")
	}
}

func TestOpenRefuses(t *testing.T) {
	for want, files := range map[string]fstest.MapFS{
		"there is no config.json in the bundle":            {},
		"config.json is not usable: it is not valid JSON":  {"config.json": {Data: []byte("x")}},
		"config.json is not usable: \"format\" is missing": {"config.json": {Data: []byte("{}")}},
	} {
		if m, err := Open(files); m != nil || err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestZeroSampling: the zero value takes the likeliest token until the context is full.
func TestZeroSampling(t *testing.T) {
	m := open(t)
	zero, off := m.NewChat(WithSampling(Sampling{})), m.NewChat(WithSampling(Sampling{TopP: 1, RepeatPenalty: 1, MaxTokens: 1 << 20}), WithSeed(9))
	if a, b := say(t, zero, "hello"), say(t, off, "hello"); a != b || len(zero.Answer().IDs) < 10 {
		t.Errorf("%q and %q", a, b)
	}
	if stopped := zero.Answer().Stopped; stopped != "context" && stopped != "end" {
		t.Errorf("stopped: %s", stopped)
	}
	drawn := Sampling{Temperature: 1.5}
	a, b := say(t, m.NewChat(WithSampling(drawn), WithSeed(1)), "hello"), say(t, m.NewChat(WithSampling(drawn), WithSeed(2)), "hello")
	if a == b {
		t.Errorf("two seeds, one answer: %q", a)
	}
	if again := say(t, m.NewChat(WithSampling(drawn), WithSeed(1)), "hello"); again != a {
		t.Errorf("one seed, two answers: %q and %q", a, again)
	}
}

// TestSayEnds leaves the loop, cancels, and is refused: what came stays, and a refusal leaves nothing.
func TestSayEnds(t *testing.T) {
	m := open(t)
	c := m.NewChat(WithSystem(""), WithSampling(Sampling{Temperature: 1}), WithSeed(4))
	parts := 0
	for _, err := range c.Say(t.Context(), "hello") {
		if parts++; err != nil {
			t.Fatal(err)
		}
		if parts == 3 {
			break
		}
	}
	if a := c.Answer(); parts != 3 || a.Stopped != "interrupted" || a.Text == "" {
		t.Errorf("left after %d parts: %+v", parts, a)
	}
	if messages := c.Messages(); len(messages) != 2 || messages[1] != (Message{"assistant", c.Answer().Text}) {
		t.Errorf("%q", messages)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range c.Say(ctx, "go on") {
		last = err
		cancel()
	}
	if last != context.Canceled || c.Answer().Stopped != "interrupted" || len(c.Messages()) != 4 {
		t.Errorf("cancelled: %v, %+v, %d messages", last, c.Answer(), len(c.Messages()))
	}
	for _, err := range c.Say(t.Context(), strings.Repeat("x", 100)) {
		last = err
	}
	if last == nil || !strings.HasPrefix(last.Error(), "the message is too long") || len(c.Messages()) != 4 || c.Answer().Text != "" {
		t.Errorf("too long: %v, %d messages", last, len(c.Messages()))
	}
}

// TestConversation saves, restores and resumes one.
func TestConversation(t *testing.T) {
	m := open(t)
	greedy := []ChatOption{WithSystem("s"), WithSampling(Sampling{MaxTokens: 4})}
	c := m.NewChat(greedy...)
	say(t, c, "name") // its answer is valid text, which a message can hold
	saved := c.Messages()
	if len(saved) != 3 || saved[0] != (Message{"system", "s"}) || saved[1] != (Message{"user", "name"}) {
		t.Fatalf("%q", saved)
	}
	want := say(t, c, "so")

	d := m.NewChat(greedy...)
	if err := d.Restore(saved); err != nil {
		t.Fatal(err)
	}
	if got := say(t, d, "so"); got != want || !slices.Equal(d.Messages(), c.Messages()) {
		t.Errorf("restored: %q, want %q", got, want)
	}
	last, err := d.Resume(append(saved[:3:3], Message{"user", "so"}))
	if got := say(t, d, last); err != nil || last != "so" || got != want {
		t.Errorf("resumed: %q, %v, want %q", got, err, want)
	}
	if err := d.Restore([]Message{{"nobody", "x"}}); err == nil || len(d.Messages()) != 5 {
		t.Errorf("a role that is none: %v, %d messages", err, len(d.Messages()))
	}
	if d.Reset(); len(d.Messages()) != 1 {
		t.Errorf("after Reset: %q", d.Messages())
	}
}

// TestIDs goes from text to logits, at once and in a session.
func TestIDs(t *testing.T) {
	m := open(t)
	ids := m.Encode("hello")
	if got := m.Decode(ids); got != "hello" {
		t.Errorf("%q", got)
	}
	want, err := m.Logits(t.Context(), ids)
	if err != nil || len(want) != m.Info().VocabSize {
		t.Fatalf("%d logits, %v", len(want), err)
	}
	s, err := m.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= len(ids); n++ {
		got, err := s.Logits(t.Context(), ids[:n])
		if err != nil || n == len(ids) && !slices.Equal(got, want) {
			t.Errorf("%d ids in a session: %v", n, err)
		}
	}
	s.Reset()
	if _, err := s.Extend(t.Context(), ids[:2]); err != nil {
		t.Error(err)
	}
	if got, err := s.Extend(t.Context(), ids[2:]); err != nil || !slices.Equal(got, want) {
		t.Errorf("in two parts: %v", err)
	}
	s.Reset()
	if _, err := s.Logits(t.Context(), []int{1 << 20}); err == nil || !strings.Contains(err.Error(), "outside the vocabulary") {
		t.Errorf("%v", err)
	}
	if _, err := m.Logits(t.Context(), nil); err == nil || err.Error() != "the list of ids is empty" {
		t.Errorf("%v", err)
	}
	if m.Threads() != 2 || slices.ContainsFunc(want, func(v float32) bool { return math.IsNaN(float64(v)) }) {
		t.Errorf("%d threads", m.Threads())
	}
}

// TestAtOnce has several goroutines talk with one model: each hears what it would hear alone.
func TestAtOnce(t *testing.T) {
	m := open(t)
	options := func(n int) []ChatOption {
		return []ChatOption{WithSeed(uint64(n)), WithSampling(Sampling{Temperature: 1, MaxTokens: 12})}
	}
	var alone [4]string
	for n := range alone {
		alone[n] = say(t, m.NewChat(options(n)...), "hello")
	}
	var wait sync.WaitGroup
	for n := range alone {
		wait.Go(func() {
			text := ""
			for part, err := range m.NewChat(options(n)...).Say(t.Context(), "hello") {
				if err != nil {
					t.Error(err)
				}
				text += part
			}
			if text != alone[n] {
				t.Errorf("%q, alone %q", text, alone[n])
			}
		})
	}
	wait.Wait()
}

// TestFloors reads docs/architecture.md: the packages are all in its table, and import only from those before them.
func TestFloors(t *testing.T) {
	page, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## The Go module")
	order := map[string]int{}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.HasPrefix(line, "| `") {
			continue
		}
		prefix := ""
		for _, name := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(cells[1], -1) {
			path := name[1]
			if before, rest, ok := strings.Cut(path, "/"); ok {
				prefix, path = "minitron/"+before+"/", rest
			}
			if path == "minitron" {
				prefix = ""
			}
			order[prefix+path] = len(order) + 1
		}
	}
	cmd := exec.Command(filepath.Join(runtime.GOROOT(), "bin", "go"), "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := 0
	for line := range strings.Lines(string(out)) {
		names := strings.Fields(line)
		packages++
		if order[names[0]] == 0 {
			t.Errorf("%s is not in the table", names[0])
		}
		for _, imported := range names[1:] {
			if (imported == "minitron" || strings.HasPrefix(imported, "minitron/")) && order[imported] >= order[names[0]] {
				t.Errorf("%s imports %s, which is not before it", names[0], imported)
			}
		}
	}
	if packages != len(order)-1 && packages != len(order) { // cmd/wasm is one for browsers only
		t.Errorf("%d packages, %d in the table", packages, len(order))
	}
}

// TestImport builds and runs a program of another module that imports this one.
func TestImport(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module friend\n\ngo 1.27\n\nrequire minitron v0.0.0\n\nreplace minitron => " + here + "\n",
		"main.go": `package main

import (
	"context"
	"fmt"
	"os"

	"minitron"
)

func main() {
	m, err := minitron.Open(os.DirFS(os.Args[1]))
	if err != nil {
		panic(err)
	}
	defer m.Close()
	for text, err := range m.NewChat(minitron.WithSampling(minitron.Sampling{MaxTokens: 9})).Say(context.Background(), "hello") {
		if err != nil {
			panic(err)
		}
		fmt.Print(text)
	}
}
`,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(runtime.GOROOT(), "bin", "go"), "run", ".", filepath.Join(here, tiny))
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local", "GOFLAGS=-mod=mod", "GOPROXY=off")
	out, err := cmd.CombinedOutput()
	if want := say(t, open(t).NewChat(WithSampling(Sampling{MaxTokens: 9})), "hello"); err != nil || string(out) != want {
		t.Errorf("%q, %v, want %q", out, err, want)
	}
}
