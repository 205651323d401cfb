package repl

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"minitron/internal/chat"
	"minitron/internal/home"
	"minitron/internal/labels"
	"minitron/internal/lang"
)

// TestFileNames names a file below the person's own folder as terminals do, at /save and at /load.
func TestFileNames(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"HOME", "USERPROFILE"} {
		t.Setenv(name, folder)
	}
	tests := []struct{ typed, file string }{
		{"~/chat.json", "chat.json"},
		{"~/my chat.json", "my chat.json"},
		{`"~/my chat.json"`, "my chat.json"},
		{`'~/my chat.json'`, "my chat.json"},
		{`"` + filepath.Join(folder, "my chat.json") + `"`, "my chat.json"},
		{`~/"chat.json"`, `"chat.json"`},
	}
	if filepath.Separator == '/' {
		tests = append(tests, []struct{ typed, file string }{
			{`~/my\ chat.json`, "my chat.json"},
			{`~/a\ \(1\)\'s.json`, "a (1)'s.json"},
			{`~/a\new\\b`, `a\new\b`},
		}...)
	}
	for _, test := range tests {
		_, notes := talk(t, "hello\n/save "+test.typed+"\n/new\n/load "+test.typed+"\n", 2, &lang.English)
		if about, err := os.Stat(filepath.Join(folder, test.file)); err != nil || about.Size() == 0 || !strings.Contains(notes, "goes on here; turns: 1.") {
			t.Errorf("%s: %v, %q", test.typed, err, notes)
		}
		os.Remove(filepath.Join(folder, test.file))
	}
	if files, _ := os.ReadDir(folder); len(files) != 0 {
		t.Errorf("left behind: %v", files)
	}
	for _, typed := range []string{"~x", `"`, `""`, `'x"`} {
		if name := expandHome(fileName(typed)); name != typed {
			t.Errorf("%s is taken for %s", typed, name)
		}
	}
	if _, notes := talk(t, "hello\n/save ~\n/load ~\n", 2, &lang.English); strings.Count(notes, "~ is no ordinary file.\n") != 2 {
		t.Errorf("%q", notes)
	}
	t.Chdir(folder)
	os.WriteFile(`'x'`, nil, 0o600)
	if name := fileName(`'x'`); name != `'x'` {
		t.Errorf("a file that has the typed name is taken for %s", name)
	}
}

// TestCause: Windows ends what went wrong with a period, and so does what the program says of it.
func TestCause(t *testing.T) {
	const reason = "The system cannot find the path specified"
	for _, err := range []error{&fs.PathError{Op: "open", Path: "x.json", Err: errors.New(reason + ".")}, errors.New(reason)} {
		if got := (&repl{Options: Options{Lang: &lang.English}}).cause(err); got != reason {
			t.Errorf("%q", got)
		}
	}
}

// TestCauseIsInTheLanguage: what the program itself finds wrong with a file is said in the language of the sentence around it.
func TestCauseIsInTheLanguage(t *testing.T) {
	r := &repl{Options: Options{Lang: &lang.Russian}}
	for err, want := range map[error]string{
		home.ErrNotRegular:  lang.Russian.NotRegular,
		errTooLarge:         "он больше 64 МиБ",
		labels.ErrNotLabels: lang.Russian.NotLabels,
		labels.ErrFull:      lang.Russian.TooManyLabels,
	} {
		if got := r.cause(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
		r.Lang = &lang.English
		if got := r.cause(err); err != errTooLarge && got != err.Error() {
			t.Errorf("in English: %q, want %q", got, err)
		}
		r.Lang = &lang.Russian
	}
}

// TestALabelsFileOfSomethingElse: the sentence names the file once.
func TestALabelsFileOfSomethingElse(t *testing.T) {
	for _, name := range []string{"XDG_CONFIG_HOME", "AppData", "HOME"} {
		t.Setenv(name, t.TempDir())
	}
	book := labels.Open(labels.Model{Name: "tiny", SHA256: strings.Repeat("0", 64)})
	os.MkdirAll(filepath.Dir(book.Path()), 0o700)
	os.WriteFile(book.Path(), []byte("[]"), 0o600)
	for l, want := range map[*lang.Strings]string{
		&lang.English: book.Path() + " cannot be read: it holds no labels of this program; move it away.\n",
		&lang.Russian: "Не удалось прочитать " + book.Path() + ": в нём нет отметок этой программы; уберите его оттуда.\n",
	} {
		if _, notes := talkTo(t, Options{In: strings.NewReader("/labels\n"), Lang: l, Labels: book}, 6); !strings.HasSuffix(notes, want) {
			t.Errorf("%q, want %q", notes, want)
		}
	}
}

// TestSavedPastTheEnd holds that /save has all of a talk that the model has long forgotten the begin of, /load too.
func TestSavedPastTheEnd(t *testing.T) {
	const turns = 110
	first, second := filepath.Join(t.TempDir(), "a.json"), filepath.Join(t.TempDir(), "b.json")
	var in strings.Builder
	for n := range turns {
		fmt.Fprintf(&in, "message %d\n", n)
	}
	_, notes := talk(t, in.String()+"/save "+first+"\n/stats\n", 3, &lang.English)
	if !strings.Contains(notes, "it forgets the oldest turns") {
		t.Errorf("nothing was forgotten: %s", notes)
	}
	talk(t, "/load "+first+"\n/save "+second+"\n", 3, &lang.English)
	var kept, again saved
	for path, into := range map[string]*saved{first: &kept, second: &again} {
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(kept.Messages) != 2*turns || !slices.Equal(kept.Messages, again.Messages) {
		t.Fatalf("%d messages are saved, then %d, want %d", len(kept.Messages), len(again.Messages), 2*turns)
	}
	for n := range turns {
		if got, want := kept.Messages[2*n], (chat.Message{Role: "user", Content: fmt.Sprintf("message %d", n)}); got != want {
			t.Errorf("message %d: %+v", n, got)
		}
	}
}
