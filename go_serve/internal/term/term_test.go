package term

import (
	"strings"
	"testing"
)

func TestPlain(t *testing.T) {
	got := Plain("a\x1b[31mb\r\x07\tc\nd\u009be\x7f é 👩")
	want := "a\uFFFD[31mb\uFFFD\uFFFD\tc\nd\uFFFDe\uFFFD é 👩"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// What turns text around (UAX #9) is gone, and what Arabic and Hebrew need stays.
	for c := rune(0x2000); c <= 0x2070; c++ {
		turns := strings.ContainsRune("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", c)
		if got := Plain(string(c)); (got == "\uFFFD") != turns {
			t.Errorf("%U becomes %q", c, got)
		}
	}
}
