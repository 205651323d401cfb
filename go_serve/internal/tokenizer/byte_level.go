package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"minitron/internal/bundle"
	"minitron/internal/pretoken"
)

// byteLevel is byte-pair encoding over bytes by a list of merges, exactly as the `tokenizers` library does it
// (models/bpe/word.rs, pre_tokenizers/byte_level.rs): the text is cut into parts; in each part the pair of neighbours whose
// merge stands first in the list is joined, the leftmost if there are several, until no pair has a merge.
type byteLevel struct {
	texts   []string            // by id: the bytes that a piece stands for; "" for control pieces
	bytes   [256]int32          // ids of the single bytes
	merges  map[[2]int32]merged // by the ids of both halves
	whole   map[string]int32    // pieces that equal parts become without merging; nil: merging always decides
	symbols symbolSet           // user-defined pieces, which are found before the text is cut
	next    pretoken.Splitting
	nfc     bool

	encoders sync.Pool // of *byteEncoder
}

// merged is what a pair of pieces becomes, and the place of its merge in the list.
type merged struct{ place, id int32 }

// newByteLevel checks what the pieces and merges mean and builds the tables.
func newByteLevel(v *bundle.Vocab) (*byteLevel, error) {
	rules := v.ByteLevel
	b := &byteLevel{texts: make([]string, len(v.Pieces)), next: pretoken.Splittings[rules.Splitting], nfc: rules.NFC}
	if b.next == nil {
		return nil, fmt.Errorf("the program does not know the splitting %.100q", rules.Splitting)
	}
	ids, users := make(map[string]int32, len(v.Pieces)), map[string]bool{}
	for id, piece := range v.Pieces {
		if err := b.add(int32(id), piece, v.Types[id], ids, users); err != nil {
			return nil, err
		}
	}
	for id, text := range b.texts { // a single byte may be a user-defined piece
		if _, known := ids[text]; !known && v.Types[id] == userDefined {
			ids[text] = int32(id)
		}
	}
	for c := range b.bytes {
		id, ok := ids[string([]byte{byte(c)})]
		if !ok {
			return nil, fmt.Errorf("the byte %02X has no piece", c)
		}
		b.bytes[c] = id
	}
	if rules.IgnoreMerges {
		b.whole = ids
	}
	return b, b.addMerges(rules.Merges)
}

// add enters a piece into the tables. ids collects the normal pieces, users the user-defined ones.
func (b *byteLevel) add(id int32, piece string, kind byte, ids map[string]int32, users map[string]bool) error {
	if kind == control {
		return nil
	}
	if piece == "" || len(piece) >= maxPieceBytes {
		return fmt.Errorf("piece %d is empty or too long", id)
	}
	switch kind {
	case normal:
		text, ok := fromByteCharacters(piece)
		if !ok {
			return fmt.Errorf("piece %d is not written in the characters for bytes", id)
		}
		if _, twice := ids[text]; twice {
			return fmt.Errorf("the piece %q is there twice", piece)
		}
		b.texts[id], ids[text] = text, id
	case userDefined:
		if users[piece] {
			return fmt.Errorf("the piece %q is there twice", piece)
		}
		b.texts[id], users[piece] = piece, true
		b.symbols.add(piece, id)
	default:
		return fmt.Errorf("piece %d has the unknown type %q", id, kind)
	}
	return nil
}

func (b *byteLevel) addMerges(list []int) error {
	if len(list)%3 != 0 {
		return errors.New("the list of merges is cut off")
	}
	b.merges = make(map[[2]int32]merged, len(list)/3)
	for place := range len(list) / 3 {
		three := list[3*place : 3*place+3]
		for _, id := range three {
			if id < 0 || id >= len(b.texts) || b.texts[id] == "" {
				return fmt.Errorf("a merge has the id %d, which is no piece of text", id)
			}
		}
		left, right, made := b.texts[three[0]], b.texts[three[1]], b.texts[three[2]]
		if len(made) != len(left)+len(right) || !strings.HasPrefix(made, left) || !strings.HasSuffix(made, right) {
			return fmt.Errorf("the merge of %q and %q makes %q", left, right, made)
		}
		pair := [2]int32{int32(three[0]), int32(three[1])}
		if _, twice := b.merges[pair]; twice {
			return fmt.Errorf("the merge of %q and %q is there twice", left, right)
		}
		b.merges[pair] = merged{int32(place), int32(three[2])}
	}
	return nil
}

// byteCharacters maps GPT-2's characters for bytes to these bytes: visible characters stand for themselves, those from U+0100
// on for the other bytes.
var byteCharacters = sync.OnceValue(func() map[rune]byte {
	found, rest := make(map[rune]byte, 256), rune(0x100)
	for c := rune(0); c < 256; c++ {
		if c >= '!' && c <= '~' || c >= 0xa1 && c <= 0xac || c >= 0xae {
			found[c] = byte(c)
		} else {
			found[rest] = byte(c)
			rest++
		}
	}
	return found
})

// fromByteCharacters returns the bytes that a piece stands for; false if the piece holds any other character.
func fromByteCharacters(piece string) (string, bool) {
	table := byteCharacters()
	text := make([]byte, 0, len(piece))
	for _, c := range piece {
		b, ok := table[c]
		if !ok {
			return "", false
		}
		text = append(text, b)
	}
	return string(text), true
}

// begunCharacter returns how many bytes at the start of text Python replaces by one U+FFFD: those that validly begin a
// character, at least 1. text must not begin with a whole character.
func begunCharacter(text []byte) int {
	for n := min(len(text), utf8.UTFMax-1); n > 1; n-- {
		if !utf8.FullRune(text[:n]) {
			return n
		}
	}
	return 1
}

// characters returns a text as valid UTF-8, in which U+FFFD replaces invalid bytes.
func characters(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	out := make([]byte, 0, len(text)+len(text)/4)
	for rest := []byte(text); len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 {
			n = begunCharacter(rest)
		}
		out = utf8.AppendRune(out, r)
		rest = rest[n:]
	}
	return string(out)
}
