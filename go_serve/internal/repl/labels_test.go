package repl

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"minitron/internal/chat"
	"minitron/internal/edit"
	"minitron/internal/labels"
	"minitron/internal/lang"
)

// labelling runs a REPL that may keep labels, and returns what it told and the labels that are kept then.
func labelling(t *testing.T, in string, language *lang.Strings) (notes string, kept []labels.Label) {
	t.Helper()
	for _, name := range []string{"XDG_CONFIG_HOME", "AppData", "HOME"} {
		t.Setenv(name, t.TempDir())
	}
	book := labels.Open(labels.Model{Name: "tiny", SHA256: strings.Repeat("0", 64)})
	_, notes = talkTo(t, Options{In: strings.NewReader(in), Lang: language, Labels: book}, 6)
	kept, err := book.Labels()
	if err != nil {
		t.Fatal(err)
	}
	return notes, kept
}

func TestLabels(t *testing.T) {
	said := answers(t, 6, "hello", "again", "more")
	notes, kept := labelling(t, "/good\nhello\n/bad too wild\nagain\n/fix\nI am Bob.\nmore\n/fix \"No.\"\n/good\n/labels\n", &lang.English)
	if len(kept) != 3 {
		t.Fatalf("%v", kept)
	}
	for i, want := range []labels.Label{
		{Answer: said[0], Kind: "bad", Why: "too wild"},
		{Answer: said[1], Kind: "fix", Fix: "I am Bob."},
		{Answer: said[2], Kind: "good"},
	} {
		l := kept[i]
		if l.Answer != want.Answer || l.Kind != want.Kind || l.Why != want.Why || l.Fix != want.Fix || len(l.Messages) != 2*i+1 {
			t.Errorf("label %d is %+v", i, l)
		}
	}
	if last := kept[2].Messages; last[4].Content != "more" || last[3].Content != said[1] || last[4].Role != "user" {
		t.Errorf("%v", last)
	}
	for _, want := range []string{"Nothing was said yet.", "Noted as bad; labels: 1.", "on this computer alone", "labels: 3.", "good: 1, bad: 1, fixes: 1;"} {
		if strings.Count(notes, want) != map[bool]int{true: 2, false: 1}[want == "on this computer alone" || want == "labels: 3."] {
			t.Errorf("%q in %q", want, notes)
		}
	}
}

// TestLabelsKnowWhatTheAnswerWasGivenTo changes the system message behind an answer: the second label replaces the first one.
func TestLabelsKnowWhatTheAnswerWasGivenTo(t *testing.T) {
	_, kept := labelling(t, "/system be kind\nhello\n/good\n/system be wild\n/bad\nagain\n/good\n", &lang.English)
	if len(kept) != 2 || kept[0].Kind != "bad" || kept[0].Messages[0].Content != "be kind" || kept[1].Messages[0].Content != "be wild" {
		t.Errorf("%+v", kept)
	}
}

func TestLabelsAreWrittenToAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.json")
	notes, _ := labelling(t, "/labels\nhello\n/good\n/labels "+path+"\n/labels "+path+"\nno\n", &lang.Russian)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Format string
		Model  labels.Model
		Labels []labels.Label
	}
	if err := json.Unmarshal(data, &file); err != nil || file.Format != labels.Format || file.Model.Name != "tiny" || len(file.Labels) != 1 {
		t.Errorf("%v: %s", err, data)
	}
	for _, want := range []string{"Ни один ответ ещё не отмечен", "Отмечено: хорошо; всего отметок: 1.", "только на этом компьютере", "Записано в " + path + "; отметок: 1.", "остаётся как есть"} {
		if !strings.Contains(notes, want) {
			t.Errorf("%q is not in %q", want, notes)
		}
	}
}

func TestWhatIsNoFixIsNotNoted(t *testing.T) {
	said := answers(t, 6, "hello")[0]
	for _, in := range []string{"hello\n/fix\n", "hello\n/fix\n\n/labels\n", "hello\n/fix\n  \n", "hello\n/fix " + said + "\n", "hello\n/fix\n " + said + " \n"} {
		notes, kept := labelling(t, in, &lang.English)
		if len(kept) != 0 || !strings.Contains(notes, "Nothing is noted.") {
			t.Errorf("%q: %v %q", in, kept, notes)
		}
	}
	// Nor is what the editor offers, which leaves out of an answer what would steer a terminal.
	c, k := newChat(t, 6), &keyboard{typed: []string{"/fix\r", "\r"}}
	c.Restore([]chat.Message{{Role: "user", Content: "hello"}, {Role: "assistant", Content: "\"\"\"so\x04\"\"\""}})
	book := labels.Open(labels.Model{Name: "tiny", SHA256: strings.Repeat("1", 64)})
	options := Options{Editor: &edit.Reader{Terminal: k}, Out: io.Discard, Err: k, Lang: &lang.English, Prompt: true, Labels: book}
	if err := Run(c, options); err != nil || !strings.Contains(k.drawn.String(), "Nothing is noted.") {
		t.Errorf("%v, %q", err, k.drawn.String())
	}
	_, notes := talkTo(t, Options{In: strings.NewReader("hello\n/good\n/fix\n/labels\n"), Lang: &lang.English}, 6)
	if strings.Count(notes, "answers cannot be labelled") != 3 {
		t.Errorf("%q", notes)
	}
}
