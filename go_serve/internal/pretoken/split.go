// Package pretoken cuts texts as byte-level BPE does before it merges, and brings them to NFC. The results are those of the
// `tokenizers` library; tables.txt holds what that library knows of Unicode. It knows nothing of pieces and ids.
package pretoken

import "unicode/utf8"

// Splitting returns the length of the first part of a text, in bytes. The text must be valid UTF-8 and not empty. The rest is
// then treated as a text of its own.
type Splitting func(text string) int

// Splittings are the ways of cutting, by llama.cpp's names.
var Splittings = map[string]Splitting{
	"gpt-2":     func(text string) int { return gpt2(scanner{tables(), text, 0}) },
	"smollm":    smollm,
	"llama-bpe": func(text string) int { return llama(scanner{tables(), text, 0}, 3) },
	"qwen2":     func(text string) int { return llama(scanner{tables(), text, 0}, 1) },
}

// scanner looks at the characters of a text.
type scanner struct {
	tables *unicode
	text   string
	ends   uint8 // characters with one of these flags count as the end of the text
}

// look returns the kind of the character at a byte offset, and its length in bytes.
func (s *scanner) look(at int) (kind, int) {
	if at == len(s.text) {
		return end, 0
	}
	r, n := rune(s.text[at]), 1
	if r >= utf8.RuneSelf {
		r, n = utf8.DecodeRuneInString(s.text[at:])
	}
	found := s.tables.of(r)
	if found&s.ends != 0 {
		return end, 0
	}
	return kind(found & kindBits), n
}

// run returns where the run of characters of one kind ends that begins at a byte offset; it may be empty.
func (s *scanner) run(at int, of kind) int {
	for {
		k, n := s.look(at)
		if k != of {
			return at
		}
		at += n
	}
}

// spaces returns the end of the first match of \s+(?!\S)|\s+ in a text that begins with white space. That is all of the white
// space if the text ends with it. Otherwise its last character is left to what follows, unless it is the only one.
func (s *scanner) spaces() int {
	at, last := 0, 0
	for {
		k, n := s.look(at)
		if k == end || k != blank && k != newline && last == 0 {
			return at
		}
		if k != blank && k != newline {
			return last
		}
		last, at = at, at+n
	}
}

// gpt2 is GPT-2's pattern:
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func gpt2(s scanner) int {
	if n := contraction(s.text, false); n > 0 {
		return n
	}
	first, at := s.wordAt()
	if first == blank || first == newline {
		return s.spaces()
	}
	return s.run(at, first)
}

// wordAt returns the kind of the first character, and 0. If the text begins with a space before a word, it returns the kind of
// the word, and 1.
func (s *scanner) wordAt() (kind, int) {
	if s.text[0] == ' ' {
		if k, _ := s.look(1); k == letter || k == number || k == other {
			return k, 1
		}
	}
	k, _ := s.look(0)
	return k, 0
}

// smollm takes digits one by one, and cuts each stretch between them by GPT-2's pattern as a text of its own.
func smollm(text string) int {
	t := tables()
	if r, n := utf8.DecodeRuneInString(text); t.of(r)&digit != 0 {
		return n
	}
	return gpt2(scanner{t, text, digit})
}

// llama is Llama 3's pattern, in which up to that many digits make a part; in Qwen2's it is one digit:
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
func llama(s scanner, digits int) int {
	if n := contraction(s.text, true); n > 0 {
		return n
	}
	first, size := s.look(0)
	switch first {
	case letter:
		return s.run(0, letter)
	case number:
		at := size
		for range digits - 1 {
			k, n := s.look(at)
			if k != number {
				break
			}
			at += n
		}
		return at
	}
	if next, _ := s.look(size); next == letter && first != newline {
		return s.run(size, letter)
	}
	if k, at := s.wordAt(); k == other {
		return s.run(s.run(at, other), newline)
	}
	// White space: up to and with its last newline, if it has one.
	lines := 0
	for at := 0; ; {
		k, n := s.look(at)
		if k != blank && k != newline {
			break
		}
		at += n
		if k == newline {
			lines = at
		}
	}
	if lines > 0 {
		return lines
	}
	return s.spaces()
}

// contraction returns the length of an English contraction that the text begins with, such as 's, or 0 if there is none. With
// fold capitals count too, and so does the long s (U+017F), which matches an s in a pattern that ignores case.
func contraction(text string, fold bool) int {
	if text[0] != '\'' || len(text) < 2 {
		return 0
	}
	letterAt := func(at int) byte {
		if at == len(text) {
			return 0
		}
		if b := text[at]; fold && 'A' <= b && b <= 'Z' {
			return b + 'a' - 'A'
		}
		return text[at]
	}
	switch letterAt(1) {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v':
		if letterAt(2) == 'e' {
			return 3
		}
	case 'l':
		if letterAt(2) == 'l' {
			return 3
		}
	}
	if fold && len(text) > 2 && text[1:3] == "ſ" {
		return 3
	}
	return 0
}
