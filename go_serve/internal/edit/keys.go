package edit

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"
)

// Code says what a key does.
type Code int

const (
	Nothing Code = iota // an unknown key
	Text                // characters that were typed
	Paste               // characters that were pasted: a newline is text there
	Enter
	NewLine // Alt-Enter
	Left
	Right
	WordLeft
	WordRight
	Home
	End
	Up
	Down
	Backspace
	Delete
	KillStart
	KillEnd
	KillSpaced // back to the space before the word
	KillWordLeft
	KillWordRight
	Yank
	Swap
	Tab
	Clear
	Search
	SearchBack // the other direction: to the newer
	Cancel
	Escape
	Interrupt
	EndOfInput
	Suspend
)

// Key is one key, or a run of characters.
type Key struct {
	Code Code
	Text string // of Text and Paste; valid UTF-8
}

// control holds what Ctrl and a letter do.
var control = map[byte]Code{
	'A': Home, 'B': Left, 'C': Interrupt, 'D': EndOfInput, 'E': End, 'F': Right, 'G': Cancel, 'H': Backspace, 'I': Tab,
	'J': Enter, 'K': KillEnd, 'L': Clear, 'M': Enter, 'N': Down, 'P': Up, 'R': Search, 'S': SearchBack, 'T': Swap,
	'U': KillStart, 'W': KillSpaced, 'Y': Yank, 'Z': Suspend,
}

// alt holds what Alt and a key do.
var alt = map[byte]Code{
	'b': WordLeft, 'f': WordRight, 'd': KillWordRight, 'B': WordLeft, 'F': WordRight, 'D': KillWordRight,
	0x7f: KillWordLeft, 'H' & 0x1f: KillWordLeft, '\r': NewLine, '\n': NewLine,
}

// parser turns the bytes of a terminal into keys. A sequence may come in pieces.
type parser struct {
	bytes   []byte
	pasting bool
}

const (
	escape     = 0x1b
	bell       = 0x07
	pasteBegin = "\x1b[200~"
	pasteEnd   = "\x1b[201~"
	maxEscape  = 32 // bytes; what is longer is no key
	controlKey = 0x20
)

func (p *parser) feed(b []byte) { p.bytes = append(p.bytes, b...) }

// escapeWait is how long to wait for the rest of a key before an Escape alone counts as a key; reportWait is how long to wait
// for the rest of a terminal's report.
const (
	escapeWait = 50 * time.Millisecond
	reportWait = time.Second
)

// wait returns how long to wait for the rest of a key that has begun, 0 if none has.
func (p *parser) wait() time.Duration {
	switch {
	case len(p.bytes) == 0 || p.pasting:
		return 0
	case len(p.bytes) > 2 && p.bytes[0] == escape && beginsReport(p.bytes[1]):
		return reportWait
	}
	return escapeWait
}

// open reports whether the bytes so far end inside a paste, or inside a mark that begins one.
func (p *parser) open() bool {
	if at := bytes.LastIndexByte(p.bytes, escape); at >= 0 && bytes.HasPrefix([]byte(pasteBegin), p.bytes[at:]) {
		return true
	}
	begin, end := bytes.LastIndex(p.bytes, []byte(pasteBegin)), bytes.LastIndex(p.bytes, []byte(pasteEnd))
	return begin > end || begin == end && p.pasting
}

// take returns the first n bytes and forgets them.
func (p *parser) take(n int) []byte {
	taken := p.bytes[:n]
	p.bytes = p.bytes[n:]
	if len(p.bytes) == 0 {
		p.bytes = nil // do not hold a large paste
	}
	return taken
}

// next returns the next key. Without final, ok is false where more bytes may belong to it.
func (p *parser) next(final bool) (key Key, ok bool) {
	switch {
	case len(p.bytes) == 0:
		return Key{}, false
	case p.pasting:
		return p.paste(final)
	}
	switch b := p.bytes[0]; {
	case b == escape:
		return p.escape(final)
	case b == 0x7f:
		p.take(1)
		return Key{Code: Backspace}, true
	case b < controlKey:
		p.take(1)
		return Key{Code: control[b|0x40]}, true
	}
	n := 0
	for n < len(p.bytes) && p.bytes[n] >= controlKey && p.bytes[n] != 0x7f {
		n++
	}
	if n == len(p.bytes) && !final {
		n = whole(p.bytes)
	}
	if n == 0 {
		return Key{}, false
	}
	return Key{Text, valid(p.take(n))}, true
}

// whole returns the length of b without an unfinished character at its end.
func whole(b []byte) int {
	for n := len(b) - 1; n >= 0 && n >= len(b)-utf8.UTFMax; n-- {
		if utf8.RuneStart(b[n]) {
			if !utf8.FullRune(b[n:]) {
				return n
			}
			break
		}
	}
	return len(b)
}

// valid replaces every invalid byte by U+FFFD.
func valid(b []byte) string { return string([]rune(string(b))) }

// paste returns what was pasted so far, before the end of the paste has come: if it never comes, what is typed later must not
// be swallowed.
func (p *parser) paste(final bool) (Key, bool) {
	n := len(p.bytes)
	if at := bytes.Index(p.bytes, []byte(pasteEnd)); at >= 0 {
		n = at
	}
	if at := bytes.IndexByte(p.bytes[:n], 'C'&0x1f); at >= 0 { // no paste holds a Ctrl-C: its end was lost
		n, p.pasting = at, false
	}
	if n == 0 && bytes.HasPrefix(p.bytes, []byte(pasteEnd)) {
		p.take(len(pasteEnd))
		p.pasting = false
		return Key{}, true
	}
	if n == len(p.bytes) && !final {
		if n = whole(p.bytes); n > 0 { // the end mark may have come in part
			for tail := min(n, len(pasteEnd)-1); tail > 0; tail-- {
				if strings.HasPrefix(pasteEnd, string(p.bytes[n-tail:n])) {
					n -= tail
					break
				}
			}
		}
		if n > 0 && p.bytes[n-1] == '\r' { // \r\n is one newline
			n--
		}
		if n == 0 {
			return Key{}, false
		}
	}
	return Key{Paste, valid(p.take(n))}, true
}

// escape reads what begins with an Escape: Alt and a key, or a sequence.
func (p *parser) escape(final bool) (Key, bool) {
	b := p.bytes
	if len(b) == 1 {
		return p.unfinished(final)
	}
	switch b[1] {
	case '[':
		return p.sequence(final)
	case 'O':
		if len(b) == 2 {
			return p.unfinished(final)
		}
		return Key{Code: letterKey(p.take(3)[2], false)}, true
	case escape: // Alt and an arrow, as some terminals send it; or Escape twice
		p.take(1)
		return Key{Code: Escape}, true
	}
	if beginsReport(b[1]) {
		return p.report(final)
	}
	if code := alt[b[1]]; code != Nothing {
		p.take(2)
		return Key{Code: code}, true
	}
	if b[1] < utf8.RuneSelf {
		p.take(2)
		return Key{}, true
	}
	p.take(1) // Alt and a letter that is not Latin
	return Key{}, true
}

// unfinished handles an Escape whose rest has not come: with final it is the key Escape.
func (p *parser) unfinished(final bool) (Key, bool) {
	if !final {
		return Key{}, false
	}
	p.take(len(p.bytes))
	return Key{Code: Escape}, true
}

// beginsReport reports whether a byte behind an Escape begins a text from terminal to program: OSC, DCS, APC, PM or SOS.
func beginsReport(b byte) bool { return b == ']' || b == 'P' || b == '_' || b == '^' || b == 'X' }

// report swallows what a terminal says of itself, such as its colours, because another program asked for it and ended before
// the answer came: ESC, a letter, text, and BEL or ESC \.
func (p *parser) report(final bool) (Key, bool) {
	for n := 2; n < len(p.bytes); n++ {
		b := p.bytes[n]
		switch {
		case b == bell:
			p.take(n + 1)
			return Key{}, true
		case b == escape && n+1 == len(p.bytes) && !final:
			return Key{}, false
		case b == escape && n+1 < len(p.bytes) && p.bytes[n+1] == '\\':
			p.take(n + 2)
			return Key{}, true
		case b < controlKey: // no report holds one: a key breaks it off
			p.take(n)
			return Key{}, true
		}
	}
	if final {
		p.take(len(p.bytes))
	}
	return Key{}, final
}

// sequence reads ESC [ parameters letter.
func (p *parser) sequence(final bool) (Key, bool) {
	b := p.bytes
	n := 2
	if len(b) > 2 && b[2] == '[' { // function keys of the Linux console: ESC [ [ letter
		n = 3
	}
	for n < len(b) && b[n] >= 0x20 && b[n] < 0x40 && n < maxEscape {
		n++
	}
	if n == len(b) {
		return p.unfinished(final)
	}
	if b[n] < 0x20 || b[n] >= 0x7f { // no sequence at all: what broke it is a key
		p.take(n)
		return Key{}, true
	}
	sequence := p.take(n + 1)
	parameters := strings.Split(string(sequence[2:n]), ";")
	modified := len(parameters) > 1 && parameters[1] != "1" // with Ctrl, Alt or Shift
	if sequence[2] == '[' {
		return Key{}, true
	}
	if b[n] != '~' && b[n] != 'u' {
		return Key{Code: letterKey(b[n], modified)}, true
	}
	switch parameters[0] {
	case "1", "7":
		return Key{Code: Home}, true
	case "4", "8":
		return Key{Code: End}, true
	case "3":
		if modified {
			return Key{Code: KillWordRight}, true
		}
		return Key{Code: Delete}, true
	case "13": // Enter with Shift, Ctrl or Alt, where a terminal tells
		return Key{Code: NewLine}, true
	case "27":
		if len(parameters) == 3 && parameters[2] == "13" {
			return Key{Code: NewLine}, true
		}
	case "200":
		p.pasting = true
	}
	return Key{}, true
}

// letterKey returns the key that the last letter of a sequence stands for.
func letterKey(letter byte, modified bool) Code {
	switch letter {
	case 'A':
		return Up
	case 'B':
		return Down
	case 'C':
		if modified {
			return WordRight
		}
		return Right
	case 'D':
		if modified {
			return WordLeft
		}
		return Left
	case 'H':
		return Home
	case 'F':
		return End
	case 'M':
		return Enter // of the number pad
	}
	return Nothing
}
