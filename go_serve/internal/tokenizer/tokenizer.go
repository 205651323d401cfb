// Package tokenizer turns text into ids and back exactly as SentencePiece's BPE does, for any input bytes. The measure is
// version 0.2.3 (bpe_model.cc, normalizer.cc, sentencepiece_processor.cc); older versions differ where a piece is marked
// unused. It knows nothing of chat templates: the text of a control piece is ordinary text here, whoever wrote it.
package tokenizer

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"minitron-chat/internal/bundle"
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

// maxPieceBytes is the limit of SentencePiece itself.
const maxPieceBytes = 8000

// Tokenizer is immutable and safe for concurrent use.
type Tokenizer struct {
	vocab    *bundle.Vocab
	pieces   map[string]int32 // what merging may form: normal, user-defined and unused pieces
	ranks    []int32          // by id: the score as an integer of the same order
	bytes    [256]int         // ids of the byte pieces
	symbols  symbolSet        // the user-defined pieces
	charsmap *charsmap        // nil: identity
	longest  int              // bytes of the longest piece
}

// New checks what the pieces mean and builds the tables.
func New(v *bundle.Vocab) (*Tokenizer, error) {
	t := &Tokenizer{vocab: v, pieces: make(map[string]int32)}
	seen := make(map[string]bool)
	for id, piece := range v.Pieces {
		if piece == "" || len(piece) >= maxPieceBytes || strings.ContainsRune(piece, 0) {
			return nil, fmt.Errorf("piece %d is empty, too long or holds a zero byte", id)
		}
		if seen[piece] {
			return nil, fmt.Errorf("the piece %q is there twice", piece)
		}
		seen[piece] = true
		t.longest = max(t.longest, len(piece))
		t.ranks = append(t.ranks, rank(v.Scores[id]))
		if err := t.add(int32(id), piece); err != nil {
			return nil, err
		}
	}
	if v.Types[v.UnkID] != unknown {
		return nil, fmt.Errorf("the unknown id %d has the type %q", v.UnkID, v.Types[v.UnkID])
	}
	if v.ByteFallback {
		for b := range t.bytes {
			if !seen[bytePiece(b)] || v.Types[t.bytes[b]] != byteType {
				return nil, fmt.Errorf("the byte piece %s is missing", bytePiece(b))
			}
		}
	}
	var err error
	t.charsmap, err = parseCharsmap(v.Normalizer.Charsmap)
	return t, err
}

// add enters a piece into the tables of its type.
func (t *Tokenizer) add(id int32, piece string) error {
	switch kind := t.vocab.Types[id]; kind {
	case control:
	case normal:
		t.pieces[piece] = id
	case unused:
		t.pieces[piece] = id
	case userDefined:
		t.pieces[piece] = id
		t.symbols.add(piece)
	case unknown:
		if int(id) != t.vocab.UnkID {
			return fmt.Errorf("there are two unknown pieces, %d and %d", t.vocab.UnkID, id)
		}
	case byteType:
		b, ok := byteOf(piece)
		if !ok || !t.vocab.ByteFallback {
			return fmt.Errorf("%q is no byte piece, or byte_fallback is off", piece)
		}
		t.bytes[b] = int(id)
	default:
		return fmt.Errorf("piece %d has the unknown type %q", id, kind)
	}
	return nil
}

// rank orders scores as SentencePiece does: like the numbers, but -0 below +0.
func rank(score float32) int32 {
	bits := int32(math.Float32bits(score))
	if bits < 0 {
		bits ^= math.MaxInt32
	}
	return bits
}

func bytePiece(b int) string { return fmt.Sprintf("<0x%02X>", b) }

// byteOf returns the byte that a byte piece stands for.
func byteOf(piece string) (byte, bool) {
	if len(piece) != 6 {
		return 0, false
	}
	b, err := strconv.ParseUint(piece[3:5], 16, 8)
	return byte(b), err == nil && piece == bytePiece(int(b))
}

// Size returns the number of pieces.
func (t *Tokenizer) Size() int { return len(t.vocab.Pieces) }

// Chat returns the ids of the chat template's markers.
func (t *Tokenizer) Chat() bundle.ChatIDs { return t.vocab.Chat }

// Silent returns the ids that stand for no text: all control pieces and the unknown one. Encode never returns a control
// id; an answer must hold none of them but the end marker.
func (t *Tokenizer) Silent() []int {
	var ids []int
	for id := range t.vocab.Pieces {
		if kind := t.vocab.Types[id]; kind == control || kind == unknown {
			ids = append(ids, id)
		}
	}
	return ids
}

// Encode returns the ids of text, which may be any bytes. It takes O(n log n) time.
func (t *Tokenizer) Encode(text string) []int {
	normalized := t.normalize(text)
	if normalized == "" {
		return nil
	}
	m := merger{t: t, text: normalized}
	m.split()
	m.merge()
	return m.ids()
}
