package repl

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"minitron/internal/bundle"
	"minitron/internal/chat"
	"minitron/internal/engine"
	"minitron/internal/lang"
	"minitron/internal/term"
	"minitron/internal/testmodel"
)

// A tiny random model: context 64, every byte is a token.
func newChat(t testing.TB, maxTokens int) *chat.Chat {
	t.Helper()
	return chatWith(t, testmodel.Bundle(t), maxTokens)
}

// chatWith is a greedy chat with a model.
func chatWith(t testing.TB, b *bundle.Bundle, maxTokens int) *chat.Chat {
	t.Helper()
	e, err := engine.New(b, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := e.Config.Sampling
	s.Temperature, s.MaxTokens = 0, maxTokens
	return chat.New(e, "", s, 1)
}

// talk runs a REPL on the lines of in and returns what it wrote.
func talk(t *testing.T, in string, maxTokens int, language *lang.Strings) (out, notes string) {
	t.Helper()
	return talkTo(t, Options{In: strings.NewReader(in), Lang: language}, maxTokens)
}

// talkTo runs a REPL with options.
func talkTo(t *testing.T, options Options, maxTokens int) (out, notes string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	options.Out, options.Err, options.Name = &stdout, &stderr, "tiny"
	if err := Run(newChat(t, maxTokens), options); err != nil {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String()
}

func TestCommands(t *testing.T) {
	tests := []struct{ in, want string }{
		{"/temp", "temperature: 0\n"},
		{"\ufeff/temp", "temperature: 0\n"}, // a file that a Windows editor wrote
		{"/temp 0.5", "temperature: 0.5\n"},
		{"/temp 0,5", "temperature: 0.5\n"},
		{"/temp hot", "/temp needs a number from 0 to 100.\n"},
		{"/temp -1", "/temp needs a number from 0 to 100.\n"},
		{"/temp NaN", "/temp needs a number from 0 to 100.\n"},
		{"/max_tokens", "tokens per answer, at most: 6\n"},
		{"/max_tokens 9", "tokens per answer, at most: 9\n"},
		{"/max_tokens 0", "/max_tokens needs a number from 1 to 1048576.\n"},
		{"/system", "There is no system message.\n"},
		{"/system be kind\n/system", "The system message is set.\nSystem message: be kind\n"},
		{"/system x\n/system -\n/system", "The system message is set.\nThe system message is removed.\nThere is no system message.\n"},
		{"/stats", "turns: 0, tokens: 0 of 64\n"},
		{"/reset", "The conversation is forgotten.\n"},
		{"/CLEAR\n/Reset", "The conversation is forgotten.\nThe conversation is forgotten.\n"},
		{"/?", lang.English.Help + "\n"},
		{"/HELP", lang.English.Help + "\n"},
		{"/exit\n/stats", ""},
		{"/bye\n/stats", ""},
		{"/new", "The conversation is forgotten.\n"},
		{"/undo", "Nothing was said yet.\n"},
		{"/regen", "Nothing was said yet.\n"},
		{"/edit", "Nothing was said yet.\n"},
		{"/probs", "Nothing was said yet.\n"},
		{"/save x", "Nothing was said yet.\n"},
		{"/save", "/save needs the name of a file.\n"},
		{"/load", "/load needs the name of a file.\n"},
		{"/load .", ". is no ordinary file.\n"},
		{"/load /no/such", "/no/such cannot be read: no such file or directory.\n"},
		{"/load repl.go", "repl.go holds no conversation: it must be {\"messages\": [...]} with messages of user and assistant in turn.\n"},
		{"/tokens", "Nothing was said yet.\n"},
		{"/tokens aя", "tokens: 3\n<0x61> | <0xD1> | <0x8F>\n"},
		{"/set", "temperature     0\ntop-k           40\ntop-p           0.95\nmin-p           0\nrepeat-penalty  1\nmax-tokens      6\nseed            1\n"},
		{"/set top-k", "top-k: 40\n"},
		{"/set top-k 7\n/set TOP_K", "top-k: 7\ntop-k: 7\n"},
		{"/set top-k 7.5", "/set top-k needs a number from 0 to 1048576.\n"},
		{"/set top-p 0", "/set top-p needs a number from 0.000001 to 1.\n"},
		{"/set min-p 0,05", "min-p: 0.05\n"},
		{"/set repeat-penalty 1.1", "repeat-penalty: 1.1\n"},
		{"/set max-tokens 3\n/max_tokens", "max-tokens: 3\ntokens per answer, at most: 3\n"},
		{"/set temp 0.7\n/set temperature 100", "temperature: 0.7\ntemperature: 100\n"},
		{"/set temperature 2\n/temp", "temperature: 2\ntemperature: 2\n"},
		{"/set seed 18446744073709551615", "seed: 18446744073709551615\n"},
		{"/set seed -1", "/set seed needs a number from 0 to 18446744073709551615.\n"},
		{"/set temprature 1", "There is no setting temprature.\nDid you mean temperature?\n"},
		{"/set colour", "There is no setting colour.\n"},
		{"/set TEMPRATURE 1", "There is no setting TEMPRATURE.\nDid you mean temperature?\n"},
		{"/help", lang.English.Help + "\n"},
		{"   \n\n", ""},
		{"/quit\n/stats", ""},
	}
	greeting := "This is tiny. Type a message and press Enter. /help shows the commands, /quit leaves.\n"
	for _, test := range tests {
		out, err := talk(t, test.in, 6, &lang.English)
		if out != "" || err != greeting+test.want {
			t.Errorf("%q:\n out %q\n err %q\nwant %q", test.in, out, err, greeting+test.want)
		}
	}
}

// TestMistypedCommands tells a person of what they may have meant, and takes for a message what can be none.
func TestMistypedCommands(t *testing.T) {
	for in, near := range map[string]string{
		"/rest": "/reset", "/quot": "/quit", "/max": "/max_tokens", "/hlep": "/help", "/SAVEE x": "/save", "/Staats": "/stats", "/mor": "/more",
		"/absurdity": "", "/помощь": "", "/ab": "", "/cleaned": "", "/tomorrow what?": "",
	} {
		out, notes := talkTo(t, Options{In: strings.NewReader(in + "\n"), Lang: &lang.English, Prompt: true}, 6)
		name, _, _ := strings.Cut(in, " ")
		want := "There is no command " + name + ". If this is a message, begin it with a space.\n"
		if near != "" {
			want += "Did you mean " + near + "?\n"
		}
		if out != "" || !strings.HasSuffix(notes, "> "+want+"> \n") {
			t.Errorf("%s: %q, %q, want %q", in, out, notes, want)
		}
	}
	for _, in := range []string{"/etc/passwd is what?", "/ hello", "/", "/usr/bin", " /stats", "/* a comment */", "/.hidden", "//"} {
		want, err := newChat(t, 6).Say(t.Context(), in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if out, notes := talkTo(t, Options{In: strings.NewReader(in + "\n"), Lang: &lang.English, Prompt: true}, 6); out != term.Plain(want.Text)+"\n" {
			t.Errorf("%s: %q, %q, want %q", in, out, notes, want.Text)
		}
	}
	// On a pipe every line is answered that is no command.
	if out, notes := talk(t, "/etc/passwd is what?\n/absurdity\n/hlep\n", 6, &lang.English); strings.Contains(notes, "no command") || strings.Count(notes, "(The answer was cut") != 3 {
		t.Errorf("%q, %q", out, notes)
	}
}

func TestAnswerGoesToOut(t *testing.T) {
	c := newChat(t, 6)
	want, err := c.Say(t.Context(), "hello", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{"hello\n", "hello", "hello\r\n/quit\r\n"} {
		out, _ := talk(t, in, 6, &lang.English)
		if out != want.Text+"\n" {
			t.Errorf("%q: %q, want %q", in, out, want.Text+"\n")
		}
	}
	_, notes := talk(t, "hello\n/stats\n", 6, &lang.English)
	if !strings.Contains(notes, "turns: 1, tokens: ") || !strings.Contains(notes, "last answer: read 8 tokens (0 known already)") {
		t.Errorf("stats: %q", notes)
	}
	if _, notes = talk(t, "hello\n/stats\n", 1, &lang.English); !strings.HasSuffix(notes, " s, wrote 1 tokens\n") {
		t.Errorf("a token alone has a speed: %q", notes)
	}
}

func TestLongLines(t *testing.T) {
	_, notes := talk(t, strings.Repeat("ж", 10_000)+"\n", 6, &lang.Russian)
	if !strings.Contains(notes, "Сообщение слишком длинное: токенов в нём 20000, помещается 60. ") {
		t.Errorf("%q", notes)
	}
}

func TestForgottenTurnsAreTold(t *testing.T) {
	const told = "(The conversation is longer than the model can see: from now on it forgets the oldest turns. /save still writes all of them.)"
	for in, want := range map[string]int{
		strings.Repeat("0123456789\n", 3):                                                    0,
		strings.Repeat("0123456789\n", 12):                                                   1,
		strings.Repeat("0123456789\n", 8) + "/new\n" + strings.Repeat("0123456789\n", 8):     2,
		strings.Repeat("0123456789\n", 8) + "/regen\n/undo\n0123456789\n/edit 01234567890\n": 1,
	} {
		out, notes := talk(t, in, 4, &lang.English)
		if strings.Count(notes, told) != want || strings.Count(out, "\n") < strings.Count(in, "\n0") {
			t.Errorf("%q: %q, %q, want it told %d times", in, out, notes, want)
		}
	}
}

// locked is a buffer that two goroutines may use.
type locked struct {
	sync.Mutex
	b     bytes.Buffer
	onAdd func()
}

func (l *locked) Write(p []byte) (int, error) {
	l.Lock()
	n, err := l.b.Write(p)
	l.Unlock()
	if l.onAdd != nil {
		l.onAdd()
	}
	return n, err
}

func (l *locked) String() string {
	l.Lock()
	defer l.Unlock()
	return l.b.String()
}

func waitFor(t *testing.T, l *locked, text string) {
	t.Helper()
	for range 500 {
		if strings.Contains(l.String(), text) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%q did not come; there is %q", text, l.String())
}

// TestInterruptAtPrompt presses Ctrl-C: once says how to leave, twice in a row leaves.
func TestInterruptAtPrompt(t *testing.T) {
	in, typed := io.Pipe()
	interrupts := make(chan os.Signal)
	var out, notes locked
	done := make(chan error)
	go func() {
		done <- Run(newChat(t, 6), Options{In: in, Out: &out, Err: &notes, Interrupts: interrupts, Lang: &lang.English, Prompt: true})
	}()
	interrupts <- os.Interrupt
	waitFor(t, &notes, lang.English.HowToLeave)
	fmt.Fprintln(typed, "/stats") // something else in between: the count begins again
	waitFor(t, &notes, "turns: 0")
	interrupts <- os.Interrupt
	select {
	case err := <-done:
		t.Fatalf("one Ctrl-C after a command left the chat (%v)", err)
	case interrupts <- os.Interrupt:
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestInterruptStopsAnswer presses Ctrl-C at the first character: the answer ends, the chat goes on.
func TestInterruptStopsAnswer(t *testing.T) {
	interrupts := make(chan os.Signal)
	var once sync.Once
	out := &locked{}
	out.onAdd = func() { once.Do(func() { interrupts <- os.Interrupt; time.Sleep(50 * time.Millisecond) }) }
	var notes locked
	if err := Run(newChat(t, 40), Options{In: strings.NewReader("hello\n/stats\n"), Out: out, Err: &notes, Interrupts: interrupts, Lang: &lang.English}); err != nil {
		t.Fatal(err)
	}
	if got := notes.String(); !strings.Contains(got, "(stopped)") || !strings.Contains(got, "turns: 1") {
		t.Errorf("%q", got)
	}
}

// broken is an output whose reader has gone.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestBrokenOutputEnds(t *testing.T) {
	var notes bytes.Buffer
	err := Run(newChat(t, 40), Options{In: strings.NewReader("hello\nhello\n"), Out: broken{}, Err: &notes, Lang: &lang.English})
	if err == nil || !strings.Contains(err.Error(), "the answer cannot be written") {
		t.Errorf("%v", err)
	}
}

// TestWindows: what goes to a window is wrapped to it and cannot steer it, whatever the other output is.
func TestWindows(t *testing.T) {
	narrow := func() int { return 20 }
	hello := newChat(t, 30)
	hello.Sampling.Temperature = 5
	said, err := hello.Say(t.Context(), "hello", nil)
	if err != nil || said.Text == term.Plain(said.Text) {
		t.Fatalf("an answer that could not steer: %q, %v", said.Text, err)
	}
	const wrapped = "This is tiny. Type\na message and press\n"
	for _, test := range []struct {
		columns, errColumns func() int
		raw, notes          bool
	}{{nil, nil, true, false}, {nil, narrow, true, true}, {narrow, nil, false, false}, {narrow, narrow, false, true}} {
		out, notes := talkTo(t, Options{In: strings.NewReader("/temp 5\nhello\n"), Lang: &lang.English, Columns: test.columns, ErrColumns: test.errColumns}, 30)
		if (out == said.Text+"\n") != test.raw || strings.ContainsFunc(out, term.Steers) != test.raw || strings.HasPrefix(notes, wrapped) != test.notes {
			t.Errorf("%+v: %q, %q", test, out, notes)
		}
	}
}

func TestColour(t *testing.T) {
	var out, notes bytes.Buffer
	options := Options{In: strings.NewReader("/stats\n"), Out: &out, Err: &notes, Lang: &lang.English, Prompt: true, Colour: true}
	if err := Run(newChat(t, 4), options); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(notes.String(), "\x1b[1;32m> \x1b[0m") {
		t.Errorf("no coloured prompt in %q", notes.String())
	}
	_, plain := talk(t, "/stats\n", 4, &lang.English)
	if strings.ContainsAny(plain, "\x1b>") {
		t.Errorf("decoration in %q", plain)
	}
}
