// Package tokenizer turns text into ids and back exactly as SentencePiece's BPE does, for any input bytes. The reference is
// version 0.2.3 (bpe_model.cc, normalizer.cc, sentencepiece_processor.cc); older versions differ for pieces that are marked
// unused. For a byte-level BPE (byte_level.go) the reference is the `tokenizers` library. It knows nothing of chat templates:
// the text of a control piece is ordinary text here, whoever wrote it.
package tokenizer

import (
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"minitron/internal/bundle"
)

// The types of pieces, as in vocab.json.
const (
	normal      = 'N'
	unknown     = 'U'
	control     = 'C'
	userDefined = 'D'
	unused      = 'X'
	byteType    = 'B'
)

const spaceSymbol = "\u2581" // ▁ stands for a space inside pieces

// maxPieceBytes is SentencePiece's own limit.
const maxPieceBytes = 8000

// Tokenizer is immutable, except for buffers and caches that do not affect results, and safe for concurrent use.
type Tokenizer struct {
	vocab     *bundle.Vocab
	byteLevel *byteLevel // nil: the tokenizer is SentencePiece's, with the fields below

	table        *pieceTable
	bytes        [256]int32   // ids of the byte pieces
	chars        [0x800]int32 // ids of the characters below U+0800 that are pieces, -1 for the others
	symbols      symbolSet    // the user-defined pieces
	joins        joins        // which neighbouring characters merging can join
	charsmap     *charsmap    // nil: identity
	classes      [256]class   // by first byte: what the normaliser may do
	unusedPieces bool         // whether there are pieces marked unused
	places       func() ([]int32, int)
	encoders     sync.Pool // of *encoder
}

// New checks what the pieces mean and builds the tables.
func New(v *bundle.Vocab) (*Tokenizer, error) {
	if v.ByteLevel != nil {
		b, err := newByteLevel(v)
		return &Tokenizer{vocab: v, byteLevel: b}, err
	}
	t := &Tokenizer{vocab: v, table: newPieceTable(v.Pieces), joins: newJoins(len(v.Pieces))}
	for char := range t.chars {
		t.chars[char] = -1
	}
	for id, piece := range v.Pieces {
		if piece == "" || len(piece) >= maxPieceBytes || strings.IndexByte(piece, 0) >= 0 {
			return nil, fmt.Errorf("piece %d is empty, too long or holds a zero byte", id)
		}
		if !t.table.add(int32(id)) {
			return nil, fmt.Errorf("the piece %q is there twice", piece)
		}
		if err := t.add(int32(id), piece); err != nil {
			return nil, err
		}
	}
	if v.Types[v.UnkID] != unknown {
		return nil, fmt.Errorf("the unknown id %d has the type %q", v.UnkID, v.Types[v.UnkID])
	}
	if v.ByteFallback {
		for b, id := range t.bytes {
			if v.Pieces[id] != bytePiece(b) || v.Types[id] != byteType {
				return nil, fmt.Errorf("the byte piece %s is missing", bytePiece(b))
			}
		}
	}
	t.table.finish()
	t.places = sync.OnceValues(t.table.places)
	var err error
	t.charsmap, err = parseCharsmap(v.Normalizer.Charsmap)
	t.classify()
	return t, err
}

// add enters a piece into the tables of its type.
func (t *Tokenizer) add(id int32, piece string) error {
	t.table.ranks[id] = noMerge
	switch kind := t.vocab.Types[id]; kind {
	case control:
	case normal, unused:
		t.table.ranks[id] = rank(t.vocab.Scores[id])
		t.joins.add(piece)
		if char, size := utf8.DecodeRuneInString(piece); size == len(piece) && int(char) < len(t.chars) {
			t.chars[char] = id
		}
		t.unusedPieces = t.unusedPieces || kind == unused
	case userDefined:
		// Merging never forms this piece: wherever the text goes on with it, it or a longer one was taken out as a symbol
		// before.
		t.symbols.add(piece, id)
	case unknown:
		if int(id) != t.vocab.UnkID {
			return fmt.Errorf("there are two unknown pieces, %d and %d", t.vocab.UnkID, id)
		}
	case byteType:
		b, ok := byteOf(piece)
		if !ok || !t.vocab.ByteFallback {
			return fmt.Errorf("%q is no byte piece, or byte_fallback is off", piece)
		}
		t.bytes[b] = id
	default:
		return fmt.Errorf("piece %d has the unknown type %q", id, kind)
	}
	return nil
}

const hexDigits = "0123456789ABCDEF"

func bytePiece(b int) string {
	return string([]byte{'<', '0', 'x', hexDigits[b>>4], hexDigits[b&15], '>'})
}

// byteOf returns the byte that a byte piece stands for.
func byteOf(piece string) (byte, bool) {
	if len(piece) != 6 || piece[:3] != "<0x" || piece[5] != '>' {
		return 0, false
	}
	high, low := strings.IndexByte(hexDigits, piece[3]), strings.IndexByte(hexDigits, piece[4])
	return byte(high<<4 | low), high >= 0 && low >= 0
}

// Size returns the number of pieces.
func (t *Tokenizer) Size() int { return len(t.vocab.Pieces) }

// Chat returns the ids of the chat template.
func (t *Tokenizer) Chat() bundle.Chat { return t.vocab.Chat }

// Silent returns the ids that stand for no text: those of all control pieces and the unknown one. Encode never returns a
// control id. An answer must hold none of them except the end marker.
func (t *Tokenizer) Silent() []int {
	var ids []int
	for id := range t.vocab.Pieces {
		if kind := t.vocab.Types[id]; kind == control || kind == unknown {
			ids = append(ids, id)
		}
	}
	return ids
}
