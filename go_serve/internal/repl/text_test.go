package repl

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"minitron/internal/chat"
	"minitron/internal/lang"
	"minitron/internal/term"
	"minitron/internal/testmodel"
)

// newText is newChat with a model that continues text.
func newText(t testing.TB, maxTokens int) *chat.Chat {
	t.Helper()
	return chatWith(t, testmodel.Text(t), maxTokens)
}

// write runs a REPL on lines with a model that continues text.
func write(t *testing.T, options Options, lines ...string) (out, notes string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	options.In, options.Out, options.Err, options.Name = strings.NewReader(strings.Join(lines, "\n")+"\n"), &stdout, &stderr, "tiny"
	if options.Lang == nil {
		options.Lang = &lang.English
	}
	if err := Run(newText(t, 6), options); err != nil {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String()
}

// continuation is how a text goes on, in so many parts of six tokens.
func continuation(t *testing.T, text string, parts int) (all []string) {
	c := newText(t, 6)
	for n := range parts {
		var a chat.Answer
		var err error
		if n == 0 {
			a, err = c.Say(t.Context(), text, nil)
		} else {
			a, err = c.More(t.Context(), nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a.Text)
	}
	return all
}

// TestText types texts: a person sees each go on right behind what was typed, a pipe gets the continuation alone; /more goes
// on, the next text is a new one.
func TestText(t *testing.T) {
	one, two := continuation(t, "One  day,", 2), continuation(t, " a\tb ", 1)
	want := one[0] + "\n" + one[1] + "\n" + two[0] + "\n"
	out, notes := write(t, Options{}, "One  day,", "/more", " a\tb ", "/stats")
	if out != want {
		t.Errorf("out %q, want %q", out, want)
	}
	for _, note := range []string{"This is tiny. It continues text", "(That was 6 tokens; /more goes on, /max_tokens changes how many.)", "texts: 2, tokens of the last one in view: 1"} {
		if !strings.Contains(notes, note) {
			t.Errorf("%q is not in %q", note, notes)
		}
	}
	out, _ = write(t, Options{Prompt: true}, "One  day,", "/more", `"""`, "One  day,", `"""`)
	first, second := "One  day,"+term.Plain(one[0])+"\n", term.Plain(one[1])+"\n"
	if want := first + second + first; out != want {
		t.Errorf("a person sees %q, want %q", out, want)
	}
	out, _ = write(t, Options{}, "One  day,", "/more", "/regen", "/edit  a\tb ", "/undo", "/more")
	if !strings.HasPrefix(out, one[0]+"\n"+one[1]+"\n"+one[0]+"\n") || strings.Count(out, "\n") != 4 {
		t.Errorf("%q", out)
	}
}

func TestTextCommands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "texts.json")
	for _, test := range []struct{ in, want string }{
		{"/more", "There is no text yet.\n"},
		{"/system", "This model continues text: it has no system message.\n"},
		{"/system be kind", "This model continues text: it has no system message.\n"},
		{"/stats", "texts: 0, tokens of the last one in view: 0 of 64\n"},
		{"/help", lang.English.TextHelp + "\n"},
		{"/new", "All texts are forgotten.\n"},
	} {
		if out, notes := write(t, Options{}, test.in); out != "" || !strings.HasSuffix(notes, "/quit leaves.\n"+test.want) {
			t.Errorf("%s: %q, %q", test.in, out, notes)
		}
	}
	if _, notes := write(t, Options{}, "One day", "/save "+file); !strings.Contains(notes, "Written to "+file) {
		t.Errorf("%q", notes)
	}
	if out, notes := write(t, Options{}, "/load "+file, "/stats", "/more"); !strings.Contains(notes, "texts: 1, ") || len(out) < 6 {
		t.Errorf("after /load: %q, %q", out, notes)
	}
	if _, notes := write(t, Options{}, strings.Repeat("x", 70), "/more"); strings.Count(notes, lang.English.TextForgotten) != 1 {
		t.Errorf("%q", notes)
	}
	if _, notes := write(t, Options{Lang: &lang.Russian}, "раз", "/system"); !strings.Contains(notes, "Модель продолжает текст") || !strings.Contains(notes, lang.Russian.NoSystem) {
		t.Errorf("%q", notes)
	}
}

// TestMore lets an answer to a message go on.
func TestMore(t *testing.T) {
	whole := answers(t, 12, "hello")[0]
	out, notes := talk(t, "/more\nhello\n/more\n/stats\n", 6, &lang.English)
	if strings.ReplaceAll(out, "\n", "") != strings.ReplaceAll(whole, "\n", "") || !strings.Contains(notes, "Nothing was said yet.\n") || !strings.Contains(notes, "turns: 1, tokens: 21 of 64") {
		t.Errorf("%q, %q, want %q", out, notes, whole)
	}
}
