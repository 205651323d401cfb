package bundle

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"minitron/internal/jsonread"
)

// Normalizer holds the settings of SentencePiece's text normaliser.
type Normalizer struct {
	AddDummyPrefix         bool
	RemoveExtraWhitespaces bool
	EscapeWhitespaces      bool
	Charsmap               []byte // precompiled, as SentencePiece stores it; empty: identity
}

// Chat holds what stands around the messages of a dialogue, as ids: the marker of each role, and what a template puts behind
// it.
type Chat struct {
	System, User, Assistant []int // before a message; none in a vocabulary without dialogues
	Closing                 []int // behind each message: the end marker, which ends an answer, and what may follow it
	Start                   []int // before the first message; often none
	Strip                   bool  // whether white space around a message's text is left out
}

// End returns the end marker.
func (c Chat) End() int { return c.Closing[0] }

// Vocab is vocab.json, checked for types and sizes; the tokenizer checks what its pieces mean.
type Vocab struct {
	Pieces []string
	Types  string // one letter per piece: N, U, C, D, X or B
	Chat   Chat

	ByteLevel *ByteLevel // how pieces are merged; nil: as SentencePiece does, with the fields below

	Scores       []float32 // one per piece
	UnkID        int
	UnkSurface   string // what the unknown piece decodes to
	ByteFallback bool
	Normalizer   Normalizer
	SpaceSuffix  bool // the dummy prefix goes behind the text (SentencePiece: treat_whitespace_as_suffix)
}

// ByteLevel says how a byte-level BPE merges.
type ByteLevel struct {
	Splitting    string // how texts are cut before merging
	NFC          bool   // whether texts are normalised to NFC first
	Merges       []int  // three ids per merge, in the order of priority: left, right, and what they make
	IgnoreMerges bool   // a part of the text that is a piece as a whole becomes it without merging
}

// Bounds of the number of ids in a marker, and of merges: Llama 3 has 280,147 merges.
const (
	maxMarkerIDs = 64
	maxMerges    = 1 << 20
)

// ParseVocab reads a vocab.json alone, as tests do; that of a bundle is read by Open.
func ParseVocab(data []byte) (*Vocab, error) { return parseVocab(data, maxVocabSize) }

// parseVocab reads a vocab.json of at most that many pieces.
func parseVocab(data []byte, most int) (*Vocab, error) {
	top := jsonread.Parse(data)
	kind := top.Text("kind")
	v := &Vocab{Pieces: top.Strings("pieces", most), Types: top.Text("types")}
	switch {
	case top.Err() != nil:
	case kind == "sentencepiece-bpe":
		v.parseSentencePiece(top, most)
	case kind == "byte-bpe":
		v.parseByteLevel(top)
	default:
		top.Fail("kind", "is %.100q, this program knows \"sentencepiece-bpe\" and \"byte-bpe\"", kind)
	}
	if top.Err() != nil {
		return nil, top.Err()
	}
	return v, v.check()
}

func (v *Vocab) parseSentencePiece(top jsonread.Object, most int) {
	v.Scores = top.Floats("scores", most)
	v.UnkSurface = top.Text("unk_surface")
	v.ByteFallback = top.Flag("byte_fallback")
	v.SpaceSuffix = top.Flag("treat_whitespace_as_suffix")
	last := int64(len(v.Pieces)) - 1
	v.UnkID = int(top.Integer("unk_id", 0, last))

	n := top.Object("normalizer")
	v.Normalizer.AddDummyPrefix = n.Flag("add_dummy_prefix")
	v.Normalizer.RemoveExtraWhitespaces = n.Flag("remove_extra_whitespaces")
	v.Normalizer.EscapeWhitespaces = n.Flag("escape_whitespaces")
	charsmap, err := base64.StdEncoding.DecodeString(n.Text("precompiled_charsmap"))
	if err != nil {
		n.Fail("precompiled_charsmap", "is not base64")
	}
	v.Normalizer.Charsmap = charsmap

	chat := top.Object("chat")
	marker := func(key string) []int { return []int{int(chat.Integer(key, 0, last))} }
	v.Chat = Chat{System: marker("system"), User: marker("user"), Assistant: marker("assistant"), Closing: marker("end")}
}

func (v *Vocab) parseByteLevel(top jsonread.Object) {
	v.ByteLevel = &ByteLevel{
		Splitting:    top.Text("splitting"),
		Merges:       top.Integers("merges", 3*maxMerges),
		IgnoreMerges: top.Flag("ignore_merges"),
	}
	switch rules := top.Text("normalization"); {
	case rules == "nfc":
		v.ByteLevel.NFC = true
	case rules != "identity":
		top.Fail("normalization", "is %.100q, this program knows \"identity\" and \"nfc\"", rules)
	}
	chat := top.Object("chat")
	markers := func(key string) []int { return chat.Integers(key, maxMarkerIDs) }
	v.Chat = Chat{System: markers("system"), User: markers("user"), Assistant: markers("assistant"), Closing: markers("end")}
	if chat.Has("start") {
		v.Chat.Start = markers("start")
	}
	v.Chat.Strip = chat.Has("strip") && chat.Flag("strip")
}

// check compares values that depend on each other.
func (v *Vocab) check() error {
	switch {
	case len(v.Scores) != len(v.Pieces) && v.ByteLevel == nil:
		return fmt.Errorf("it has %d pieces and %d scores", len(v.Pieces), len(v.Scores))
	case len(v.Types) != len(v.Pieces):
		return fmt.Errorf("it has %d pieces and %d types", len(v.Pieces), len(v.Types))
	}
	return v.checkChat()
}

// checkChat checks that every marker begins with a control piece, which no text becomes, and that no marker can be taken for
// another.
func (v *Vocab) checkChat() error {
	if len(v.Chat.Closing) == 0 {
		return errors.New("it has no end marker")
	}
	roles := [][]int{v.Chat.System, v.Chat.User, v.Chat.Assistant}
	if none := len(v.Chat.System) == 0; none != (len(v.Chat.User) == 0) || none != (len(v.Chat.Assistant) == 0) {
		return errors.New("it has chat markers for some of the roles only")
	}
	for i, ids := range append(roles, v.Chat.Closing, v.Chat.Start) {
		for _, id := range ids {
			if id < 0 || id >= len(v.Pieces) {
				return fmt.Errorf("a chat marker has the id %d, and there are %d pieces", id, len(v.Pieces))
			}
		}
		if len(ids) == 0 {
			continue
		}
		if kind := v.Types[ids[0]]; kind != 'C' {
			return fmt.Errorf("the chat marker %q has the type %q, it must be a control piece", v.Pieces[ids[0]], kind)
		}
		for _, earlier := range roles[:min(i, len(roles))] {
			if slices.Equal(earlier, ids) || i >= len(roles) && len(earlier) > 0 && earlier[0] == ids[0] {
				return fmt.Errorf("two chat markers have the id %d", ids[0])
			}
		}
	}
	return nil
}
