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

// byteLevel is byte-pair encoding over bytes by a list of merges, exactly as the `tokenizers` library does it (models/bpe/word.rs,
// pre_tokenizers/byte_level.rs): the text is cut into parts, of each part the pair of neighbours whose merge stands first in the
// list is joined, the leftmost of equals, until there is none.
type byteLevel struct {
	texts   []string            // by id: the bytes that it stands for; "" of control pieces
	bytes   [256]int32          // ids of the single bytes
	merges  map[[2]int32]merged // by the ids of both halves
	whole   map[string]int32    // pieces that a part is without merging; nil where merging always decides
	symbols symbolSet           // pieces that are found before the text is cut
	next    pretoken.Splitting
	nfc     bool

	encoders sync.Pool // of *byteEncoder
}

// merged is what a pair becomes, and the place of its merge in the list.
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
	for id, text := range b.texts { // a byte may be the user's
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

// add enters a piece; ids are those of the normal ones, users those that the user defined.
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

// byteCharacters are GPT-2's characters for bytes: those that can be seen stand for themselves, the others for U+0100 and on.
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

// fromByteCharacters returns the bytes that a piece is written for.
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

// begunCharacter returns how many bytes at the start of text, which begins with no character, began one well: those that
// Python replaces by one U+FFFD. At least 1.
func begunCharacter(text []byte) int {
	for n := min(len(text), utf8.UTFMax-1); n > 1; n-- {
		if !utf8.FullRune(text[:n]) {
			return n
		}
	}
	return 1
}

// characters returns a text as characters: U+FFFD stands for what is none.
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
