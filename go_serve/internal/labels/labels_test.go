package labels

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"minitron/internal/chat"
)

// book opens a book in a folder of its own.
func book(t *testing.T) *Book {
	t.Helper()
	for _, name := range []string{"XDG_CONFIG_HOME", "AppData", "HOME"} {
		t.Setenv(name, t.TempDir())
	}
	t.Setenv("MINITRON_HISTORY", "")
	return Open(Model{"Tiko", strings.Repeat("ab", 32)})
}

func label(prompt, answer, kind string) Label {
	return Label{Messages: []chat.Message{{Role: "user", Content: prompt}}, Answer: answer, Kind: kind}
}

func TestNothingIsKeptBeforeTheFirstLabel(t *testing.T) {
	b := book(t)
	if all, err := b.Labels(); len(all) > 0 || err != nil {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := os.Stat(filepath.Dir(b.Path())); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a folder: %v", err)
	}
	t.Setenv("MINITRON_HISTORY", "off")
	if Open(Model{"Tiko", "ab"}) != nil {
		t.Error("labels are kept though nothing may be")
	}
}

// TestTheNewestLabelOfAnAnswerCounts holds the file's form too, which `minitron labels add` reads.
func TestTheNewestLabelOfAnAnswerCounts(t *testing.T) {
	b := book(t)
	for i, l := range []Label{label("hi", "a <b>", Bad), label("hi", "c", Good), label("ho", "a <b>", Good), label("hi", "a <b>", Fix)} {
		l.Fix = map[string]string{Fix: "hello"}[l.Kind]
		if count, err := b.Add(l); err != nil || count != min(i+1, 3) {
			t.Fatalf("%d labels, %v", count, err)
		}
	}
	data, err := b.Export()
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	last := file["labels"].([]any)[2].(map[string]any)
	if file["format"] != "minitron-labels" || file["version"] != 1.0 || len(file["labels"].([]any)) != 3 ||
		last["kind"] != "fix" || last["fix"] != "hello" || last["answer"] != "a <b>" || len(last["time"].(string)) != 20 {
		t.Errorf("%s", data)
	}
	if !strings.Contains(string(data), "a <b>") {
		t.Errorf("%s", data)
	}
	about, err := os.Stat(b.Path())
	if err != nil || filepath.Separator == '/' && about.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", about.Mode(), err)
	}
}

// TestAFileThatHoldsNoLabelsStays: whatever is there is not overwritten.
func TestAFileThatHoldsNoLabelsStays(t *testing.T) {
	b := book(t)
	if _, err := b.Add(label("hi", "a", Good)); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"", "{", "[]", `{"format": "minitron-labels", "version": 2}`, strings.Repeat(" ", maxFileBytes+1)} {
		if err := os.WriteFile(b.Path(), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Add(label("hi", "a", Bad)); err == nil {
			t.Errorf("%.20q was taken for labels", content)
		}
		if now, _ := os.ReadFile(b.Path()); string(now) != content {
			t.Errorf("%.20q was overwritten", content)
		}
	}
}

func TestMoreThanFitsIsRefused(t *testing.T) {
	b := book(t)
	if _, err := b.Add(label("hi", strings.Repeat("a", maxFileBytes), Good)); !errors.Is(err, ErrFull) {
		t.Errorf("%v", err)
	}
}

// TestTwoChats label at the same time: all labels are kept.
func TestTwoChats(t *testing.T) {
	b := book(t)
	var chats sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		chats.Go(func() {
			for n := range 50 {
				if _, err := Open(b.model).Add(label(strconv.Itoa(n), name, Good)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	chats.Wait()
	if all, err := b.Labels(); len(all) != 100 || err != nil {
		t.Errorf("%d of 100 labels are kept, %v", len(all), err)
	}
}
