package repl

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"minitron/internal/chat"
	"minitron/internal/edit"
	"minitron/internal/engine"
	"minitron/internal/lang"
	"minitron/internal/term"
	"minitron/internal/testmodel"
)

// answers returns the greedy answers to messages, one conversation.
func answers(t *testing.T, maxTokens int, messages ...string) (all []string) {
	t.Helper()
	c := newChat(t, maxTokens)
	for _, message := range messages {
		a, err := c.Say(t.Context(), message, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a.Text)
	}
	return all
}

func TestRegenUndoEdit(t *testing.T) {
	hello, again := answers(t, 6, "hello", "again"), answers(t, 6, "hello", "other")
	out, notes := talk(t, "hello\nagain\n/regen\n/undo\n/regen\n/stats\n", 6, &lang.English)
	if want := strings.Join([]string{hello[0], hello[1], hello[1], hello[0]}, "\n") + "\n"; out != want {
		t.Errorf("out %q, want %q", out, want)
	}
	if !strings.Contains(notes, "Taken back: again\n") || !strings.Contains(notes, "turns: 1, ") {
		t.Errorf("notes %q", notes)
	}
	out, notes = talk(t, "hello\nagain\n/edit other\n/edit\n/stats\n", 6, &lang.English)
	if want := strings.Join([]string{hello[0], hello[1], again[1]}, "\n") + "\n"; out != want {
		t.Errorf("out %q, want %q", out, want)
	}
	if !strings.Contains(notes, "/edit needs a text.\n") || !strings.Contains(notes, "turns: 2, ") {
		t.Errorf("notes %q", notes)
	}
}

func TestProbsAndBench(t *testing.T) {
	_, notes := talk(t, "hello\n/probs\n/bench\n", 6, &lang.English)
	lines := oddsLines.FindAllString(notes, -1)
	if len(lines) != 6 {
		t.Errorf("%d lines of tokens in %q", len(lines), notes)
	}
	if !regexp.MustCompile(`(?m)^read 32 tokens at [\d.]+ per second, wrote 32 tokens at [\d.]+ per second; threads: 1$`).MatchString(notes) {
		t.Errorf("no speed in %q", notes)
	}
}

// oddsLines are lines of /probs: number, probability, token, and three others with theirs.
var oddsLines = regexp.MustCompile(`(?m)^ +(\d+) +\d+\.\d%  (\S+)   \(1: (\S+) \d+\.\d%, 2: (\S+) \d+\.\d%, 3: (\S+) \d+\.\d%\)$`)

// TestProbsWhileWritten holds that each token is told as it comes, and the answer behind them.
func TestProbsWhileWritten(t *testing.T) {
	plain := answers(t, 6, "hello")[0]
	out, notes := talk(t, "/probs on\nhello\n/probs off\n/regen\n", 6, &lang.English)
	if lines := oddsLines.FindAllString(notes, -1); len(lines) != 6 {
		t.Errorf("%d lines of tokens in %q", len(lines), notes)
	}
	if out != plain+"\n"+plain+"\n" {
		t.Errorf("out %q, want %q twice", out, plain)
	}
	_, russian := talk(t, "/probs on\n/probs off\n", 6, &lang.Russian)
	if !strings.Contains(russian, "Токены показываются с вероятностями") || !strings.Contains(russian, "Ответы показываются текстом.") {
		t.Errorf("%q", russian)
	}
}

// TestBranch goes back to the third token, and from there to the first answer again.
func TestBranch(t *testing.T) {
	out, notes := talk(t, "/branch 1\nhello\n/probs\n/branch 3 2\n/branch 3\n/branch\n/branch 99\n/branch 3 4\n/branch x\n/stats\n", 6, &lang.English)
	listed := oddsLines.FindAllStringSubmatch(notes, -1)
	if len(listed) != 6 || listed[2][1] != "3" {
		t.Fatalf("%q", notes)
	}
	texts := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(texts) != 3 || texts[1] == texts[0] || !strings.HasPrefix(texts[2], texts[0]) {
		t.Errorf("out %q", texts)
	}
	for note, times := range map[string]int{
		"Nothing was said yet.":                                              1,
		"/branch needs a number from 1 to 9.":                                3,
		"This token has no alternative with that number; /probs lists them.": 1,
		"turns: 1, ": 1,
	} {
		if strings.Count(notes, note) != times {
			t.Errorf("%q is not there %d times: %q", note, times, notes)
		}
	}
}

// TestBranchWhileShown holds that the tokens behind a branch are told with the numbers that /probs and /branch know them by.
func TestBranchWhileShown(t *testing.T) {
	_, notes := talk(t, "/probs on\nhello\n/branch 3\n/probs\n", 6, &lang.English)
	lines := oddsLines.FindAllString(notes, -1)
	if len(lines) != 6+6+9 || !slices.Equal(lines[6:12], lines[15:]) {
		t.Errorf("%q", notes)
	}
}

// TestTokensSeen shows the template that the model sees around what is said.
func TestTokensSeen(t *testing.T) {
	_, notes := talk(t, "hi\n/tokens\n", 2, &lang.English)
	if !regexp.MustCompile(`(?m)^tokens: 7\n<\|user\|> \| <0x68> \| <0x69> \| <\|end\|> \| <\|assistant\|> \| \S+ \| \S+$`).MatchString(notes) {
		t.Errorf("%q", notes)
	}
}

func TestSaveAndLoad(t *testing.T) {
	folder := t.TempDir()
	file, broken := filepath.Join(folder, "chat.json"), filepath.Join(folder, "broken.json")
	hello := answers(t, 6, "hello <b>")[0]
	_, notes := talk(t, "/system be\n/system -\nhello <b>\n/save "+file+"\n", 6, &lang.English)
	if !strings.Contains(notes, "Written to "+file+"; turns: 1.") {
		t.Fatalf("%q", notes)
	}
	data, _ := os.ReadFile(file)
	var s saved
	if err := json.Unmarshal(data, &s); err != nil || !slices.Equal(s.Messages, []chat.Message{{Role: "user", Content: "hello <b>"}, {Role: "assistant", Content: hello}}) {
		t.Errorf("%s: %v", data, err)
	}
	if !strings.Contains(string(data), "hello <b>") {
		t.Errorf("not plain: %s", data)
	}

	// It replaces nothing without a yes.
	_, notes = talk(t, "again\n/save "+file+"\nno\n/save "+file+"\n", 6, &lang.English)
	if now, _ := os.ReadFile(file); !bytes.Equal(now, data) || strings.Count(notes, "is there already. Replace it? [y/N]\n") != 2 || strings.Count(notes, "stays as it is.") != 2 {
		t.Errorf("%q: %s", notes, now)
	}
	_, notes = talk(t, "/load "+file+"\n/regen\n/stats\nagain\n/save "+file+"\ny\n", 6, &lang.English)
	if now, _ := os.ReadFile(file); bytes.Equal(now, data) || !strings.Contains(notes, file+" goes on here; turns: 1.") || !strings.Contains(notes, "turns: 1, ") {
		t.Errorf("%q: %s", notes, now)
	}

	// Broken files change nothing.
	for _, text := range []string{"", "{", "[]", "{}", `{"messages": []}`, `{"messages": [{"role": "user", "content": "a"}]}`, `{"messages": [{"role": "robot", "content": "a"}, {"role": "assistant", "content": "a"}]}`, `{"messages": 5}`, "\xff\xfe"} {
		os.WriteFile(broken, []byte(text), 0o600)
		_, notes = talk(t, "hello\n/load "+broken+"\n/stats\n", 6, &lang.English)
		if !strings.Contains(notes, broken+" holds no conversation: ") || !strings.Contains(notes, "turns: 1, ") {
			t.Errorf("%q: %q", text, notes)
		}
	}
	os.WriteFile(broken, []byte("\xef\xbb\xbf"+`{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}`), 0o600)
	if _, notes = talk(t, "/load "+broken+"\n/system\n", 6, &lang.English); !strings.Contains(notes, "System message: s") {
		t.Errorf("%q", notes)
	}
	_, notes = talk(t, "hello\n/save "+folder+"\n/save "+file+"/x\n/save "+filepath.Join(folder, "no", "such")+"\n", 6, &lang.English)
	if !strings.Contains(notes, folder+" is no ordinary file.") || strings.Count(notes, "cannot be written: ") != 2 {
		t.Errorf("%q", notes)
	}
	if files, _ := os.ReadDir(folder); len(files) != 2 {
		t.Errorf("left behind: %v", files)
	}
}

// TestSaveWritesWhatTheModelForgot: the context holds three turns of twelve.
func TestSaveWritesWhatTheModelForgot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "chat.json")
	_, notes := talk(t, strings.Repeat("0123456789\n", 12)+"/save "+file+"\n/stats\n/new\n/probs\n/load "+file+"\n/probs\n/branch 1\n/tokens\n", 4, &lang.English)
	for note, times := range map[string]int{"; turns: 12.": 2, "turns: 12, tokens: 36 of 64": 1, lang.English.NothingYet: 1, lang.English.NoTrace: 3} {
		if strings.Count(notes, note) != times {
			t.Errorf("%q is not there %d times: %q", note, times, notes)
		}
	}
	var s saved
	if data, _ := os.ReadFile(file); json.Unmarshal(data, &s) != nil || len(s.Messages) != 24 {
		t.Errorf("%d messages of 24 are saved", len(s.Messages))
	}
}

// keyboard is a terminal for an edit.Reader on which everything was typed already.
type keyboard struct {
	mu    sync.Mutex
	typed []string
	drawn bytes.Buffer
}

func (k *keyboard) Read(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.typed) == 0 {
		return 0, os.ErrClosed
	}
	n := copy(p, k.typed[0])
	k.typed = k.typed[1:]
	return n, nil
}

func (k *keyboard) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.drawn.Write(p)
}

func (k *keyboard) Size() (columns, rows int) { return 80, 24 }
func (k *keyboard) Events() <-chan term.Event { return nil }
func (k *keyboard) Suspend() bool             { return false }

// typeKeys chats on a terminal and returns the answers and all else.
func typeKeys(t *testing.T, keys ...string) (out, screen string, history []string) {
	t.Helper()
	k := &keyboard{typed: strings.SplitAfter(strings.Join(keys, ""), "\r")}
	if slices.Contains(keys, "\x03") {
		k.typed = []string{strings.Join(keys, "")} // in one piece: during an answer a Ctrl-C would stop it
	}
	var answers bytes.Buffer
	h := edit.OpenHistory("")
	options := Options{Editor: &edit.Reader{Terminal: k, History: h}, Out: &answers, Err: k, Lang: &lang.English, Prompt: true, Name: "tiny"}
	if err := Run(newChat(t, 6), options); err != nil {
		t.Fatal(err)
	}
	return answers.String(), k.drawn.String(), h.Entries()
}

func TestEditorInChat(t *testing.T) {
	visibly := term.Plain
	both := answers(t, 6, "one\ntwo")[0]
	for _, keys := range []string{"\x1b[200~one\rtwo\x1b[201~\r", "one\x1b\rtwo\r", "\"\"\"one\rtwo\"\"\"\r", "\"\"\"\rone\rtwo\r\"\"\"\r"} {
		if out, _, _ := typeKeys(t, keys); out != visibly(both)+"\n" {
			t.Errorf("%q: %q, want %q", keys, out, both)
		}
	}
	// /edit brings the last message back; what becomes of it takes its place.
	first, other := answers(t, 6, "hello")[0], answers(t, 6, "hallo")[0]
	out, screen, history := typeKeys(t, "hello\r", "/edit\r", "\x1b[D\x1b[D\x1b[D\x7fa\r", "/stats\r")
	if out != visibly(first+"\n"+other+"\n") || !strings.Contains(screen, "turns: 1, ") {
		t.Errorf("%q, %q", out, screen)
	}
	if want := []string{"hello", "/edit", "hallo", "/stats"}; !slices.Equal(history, want) {
		t.Errorf("history %q", history)
	}
	// Ctrl-C leaves it as it was.
	out, screen, _ = typeKeys(t, "hello\r", "/edit\r", "\x03", "new\r", "/stats\r")
	if !strings.Contains(screen, "turns: 2, ") || !strings.Contains(screen, lang.English.HowToLeave) {
		t.Errorf("%q, %q", out, screen)
	}
	// So does an empty line: what comes next is a message of its own.
	if _, screen, _ = typeKeys(t, "hello\r", "/edit\r", "\x15\r", "new\r", "/stats\r"); !strings.Contains(screen, "turns: 2, ") {
		t.Errorf("an emptied /edit replaced a message: %q", screen)
	}
	// Two in a row leave, unless the line held something.
	if _, screen, _ = typeKeys(t, "\x03\x03", "/stats\r"); strings.Contains(screen, "turns") {
		t.Errorf("ctrl-c twice: %q", screen)
	}
	if _, screen, _ = typeKeys(t, "\x03a\x03", "/stats\r"); !strings.Contains(screen, "turns") {
		t.Errorf("ctrl-c on a line with text: %q", screen)
	}
	// Tab completes, and a pasted text that only looks like a command is a message.
	if _, screen, _ = typeKeys(t, "/sta\t\r"); !strings.Contains(screen, "turns: 0, ") {
		t.Errorf("tab: %q", screen)
	}
	if out, _, _ = typeKeys(t, "\x1b[200~/* a\rcomment */\x1b[201~\r"); out == "" {
		t.Error("a pasted comment was taken for a command")
	}
}

// TestQuotesOnPlainLines: a terminal that cannot move its cursor.
func TestQuotesOnPlainLines(t *testing.T) {
	both := answers(t, 6, "one\ntwo")[0]
	var out, notes bytes.Buffer
	options := Options{In: strings.NewReader("\"\"\"one\ntwo\"\"\"\n"), Out: &out, Err: &notes, Lang: &lang.English, Prompt: true, Name: "tiny"}
	if err := Run(newChat(t, 6), options); err != nil || out.String() != term.Plain(both)+"\n" {
		t.Errorf("%v: %q, want %q", err, out.String(), both)
	}
	if strings.Contains(notes.String(), "\x1b") {
		t.Errorf("escape codes: %q", notes.String())
	}
	// On a pipe every line is a message, whatever it begins with.
	if piped, _ := talk(t, "\"\"\"one\ntwo\"\"\"\n", 6, &lang.English); strings.Count(piped, "\n") < 2 {
		t.Errorf("%q", piped)
	}
}

// TestEveryCommandIsHelped: the help tells of all, in both languages.
func TestEveryCommandIsHelped(t *testing.T) {
	for _, c := range named {
		for _, help := range []string{lang.English.Help, lang.Russian.Help} {
			if !strings.Contains(help, c.name) && !slices.Contains([]string{"/exit", "/bye"}, c.name) {
				t.Errorf("%s is not in the help", c.name)
			}
		}
	}
	for _, s := range settings {
		if !strings.Contains(lang.English.Help, s.name) || !strings.Contains(lang.Russian.Help, s.name) {
			t.Errorf("%s is not in the help", s.name)
		}
	}
}

// TestStatsOfAnEndlessTalk tells how long it is and what it costs, and forgets no turn.
func TestStatsOfAnEndlessTalk(t *testing.T) {
	e, err := engine.New(testmodel.Stream(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	settings := e.Config.Sampling
	settings.Temperature, settings.MaxTokens = 0, 3
	var stdout, stderr bytes.Buffer
	options := Options{In: strings.NewReader(strings.Repeat("0123456789\n", 12) + "/stats\n"), Out: &stdout, Err: &stderr, Lang: &lang.English}
	if err := Run(chat.New(e, "", settings, 1), options); err != nil {
		t.Fatal(err)
	}
	notes := stderr.String()
	if !strings.Contains(notes, "turns: 12, tokens: 2") || !strings.Contains(notes, "takes 0.0 MB, however long it gets") {
		t.Errorf("%s", notes)
	}
	if strings.Contains(notes, "forgets") {
		t.Errorf("it says that turns are forgotten: %s", notes)
	}
}
