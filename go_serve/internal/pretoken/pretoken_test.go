package pretoken

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// parts cuts a text up.
func parts(t testing.TB, name, text string) (all []string) {
	t.Helper()
	for text != "" {
		n := Splittings[name](text)
		if n < 1 || n > len(text) || !utf8.ValidString(text[:n]) {
			t.Fatalf("%s: a part of %q has %d bytes", name, text, n)
		}
		all = append(all, text[:n])
		text = text[n:]
	}
	return all
}

// TestSplittings has what the `tokenizers` library makes of these; the vectors of internal/tokenizer hold far more.
func TestSplittings(t *testing.T) {
	tests := []struct{ text, gpt2, smollm, llama, qwen string }{ // parts with | between; "" is as in the column before
		{"", "", "", "", ""},
		{"hello  you 2", "hello| | you| 2", "hello| | you| |2", "hello| | you| |2", ""},
		{"it's IT'S 'x", "it|'s| IT|'|S| '|x", "", "it|'s| IT|'S| '|x", ""},
		{"he'ſ'LL", "he|'|ſ|'|LL", "", "he|'ſ|'LL", ""},
		{"in 12345²", "in| 12345²", "in| |1|2|3|4|5|²", "in| |123|45²", "in| |1|2|3|4|5|²"},
		{"a\n\n b \n", "a|\n\n| b| \n", "", "a|\n\n| b| \n", ""},
		{"\tx(y)!\n\nz", "\t|x|(|y|)!|\n|\n|z", "", "\tx|(y|)!\n\n|z", ""},
		{"  \n  \n  x", "  \n  \n | x", "", "  \n  \n| | x", ""},
		{"привет —мир", "привет| —|мир", "", "", ""},
		{"x\u00a0y e\u0301", "x|\u00a0|y| e|\u0301", "", "x|\u00a0y| e|\u0301", ""},
		{"   ", "   ", "", "   ", ""},
	}
	for _, test := range tests {
		want := test.gpt2
		for _, column := range []struct{ name, want string }{
			{"gpt-2", test.gpt2}, {"smollm", test.smollm}, {"llama-bpe", test.llama}, {"qwen2", test.qwen},
		} {
			if column.want != "" {
				want = column.want
			}
			if got := strings.Join(parts(t, column.name, test.text), "|"); got != want {
				t.Errorf("%s cuts %q into %q, want %q", column.name, test.text, got, want)
			}
		}
	}
}

func TestNFC(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"plain é текст":              "plain é текст",
		"e\u0301":                    "é",
		"и\u0306е\u0308":             "йё",
		"e\u0301\u0323":              "\u1eb9\u0301",
		"\u212b \u2126":              "Å Ω",
		"\u0344":                     "\u0308\u0301",
		"\u0958":                     "\u0915\u093c",
		"\u1100\u1161\u11a8":         "각",
		"\uac00\u11a8\u11a8":         "각\u11a8",
		"\u0301a":                    "\u0301a",
		"\u1e9b\u0323 o\u031b\u0301": "\u1e9b\u0323 \u1edb",
		"\U0001d15e":                 "\U0001d157\U0001d165",
	} {
		if got := NFC(text); got != want {
			t.Errorf("NFC(%+q) = %+q, want %+q", text, got, want)
		}
	}
}

// TestManyMarks sorts a megabyte of marks that belong to one letter.
func TestManyMarks(t *testing.T) {
	text := "a" + strings.Repeat("\u0301\u0323", 1<<18)
	want := "\u1ea1" + strings.Repeat("\u0323", 1<<18-1) + strings.Repeat("\u0301", 1<<18)
	if got := NFC(text); got != want {
		t.Errorf("%d bytes, %+.20q", len(got), got)
	}
}

// FuzzSplittings looks for a part that is none and for a text whose normal form changes when it is normalised again.
func FuzzSplittings(f *testing.F) {
	for _, seed := range []string{"it's 12345 \n\n  x", "'", "'l", " \r\n ", "e\u0301\u0323\u1100\u1161\u11a8", "\u212b\u0344\u0958", "\ufffd\U0010ffff", "½٣Ⅷ "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "\ufffd")
		for name := range Splittings {
			parts(t, name, text)
		}
		normal := NFC(text)
		if again := NFC(normal); again != normal || !utf8.ValidString(normal) {
			t.Fatalf("%+q becomes %+q, then %+q", text, normal, again)
		}
	})
}

// TestTables holds that tables.txt was read whole.
func TestTables(t *testing.T) {
	u := tables()
	for want, text := range map[kind]string{letter: "aZéя漢𐐀", number: "0²Ⅷ٣", blank: " \t\u00a0\u3000\u2028", newline: "\r\n", other: "_-—😀\u0301\u200b"} {
		for _, r := range text {
			if got := kind(u.of(r) & kindBits); got != want {
				t.Errorf("%+q is %d, want %d", r, got, want)
			}
		}
	}
	if u.orders[0x301] != 230 || u.orders[0x323] != 220 || u.pairs[[2]rune{'e', 0x301}] != 'é' || !slices.Equal(u.parts[0x344], []rune{0x308, 0x301}) {
		t.Error("the marks are wrong")
	}
	if len(u.pairs) < 900 || len(u.parts) < 2000 || len(u.orders) < 800 {
		t.Errorf("%d pairs, %d parts, %d orders", len(u.pairs), len(u.parts), len(u.orders))
	}
}
