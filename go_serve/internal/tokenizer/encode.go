package tokenizer

import (
	"slices"
	"unicode/utf8"
)

// encoder holds what encoding one text needs besides the tokenizer. Only one goroutine at a time may use it. It keeps its
// buffers, so that encoding allocates nothing once they are large enough.
type encoder struct {
	t     *Tokenizer
	text  []byte  // normalised, with padding
	ids   []int32 // of the text so far
	cache cache
	short shortMerger
	long  longMerger
}

// Encode returns the ids of text, which may be any bytes. The time is linear in the length of the text.
func (t *Tokenizer) Encode(text string) []int { return t.AppendEncode(nil, text) }

// AppendEncode appends the ids of text to ids. Once it has encoded a text as long, it allocates nothing except room that ids
// lacks.
func (t *Tokenizer) AppendEncode(ids []int, text string) []int {
	if t.byteLevel != nil {
		return t.byteLevel.appendEncode(ids, text)
	}
	e, _ := t.encoders.Get().(*encoder)
	if e == nil {
		e = &encoder{t: t}
	}
	ids = e.encode(ids, text)
	t.encoders.Put(e) // the garbage collector frees it, with its buffers, when it is not used for a while
	return ids
}

func (e *encoder) encode(ids []int, text string) []int {
	e.ids = e.ids[:0]
	e.text = e.t.normalize(slices.Grow(e.text[:0], len(text)+len(text)/8+padding), text)
	if size := len(e.text); size > 0 {
		e.text = append(e.text, zeros[:]...)
		if e.t.unusedPieces { // how an unused piece is split may depend on the whole text
			e.long.merge(e.t, e.text[:size])
			e.ids = e.long.ids(e.ids)
		} else {
			e.cut(size)
		}
	}
	ids = slices.Grow(ids, len(e.ids))
	for _, id := range e.ids {
		ids = append(ids, int(id))
	}
	return ids
}

// cut divides the text where no merge can span, and encodes part by part.
func (e *encoder) cut(size int) {
	t, text := e.t, e.text
	for at := 0; at < size; {
		if t.symbols.begins[text[at]] {
			if id, n := longestSymbol(&t.symbols, text[at:size]); n > 0 {
				e.ids = append(e.ids, id)
				at += n
				continue
			}
		}
		char, n := charAt(text, at)
		end := at + n
		for end < size {
			if t.symbols.begins[text[end]] {
				if _, n := longestSymbol(&t.symbols, text[end:size]); n > 0 {
					break
				}
			}
			next, n := charAt(text, end)
			if !t.joins.has(char, next) {
				break
			}
			char = next
			end += n
		}
		end = min(end, size) // the text may end within a character
		if chunk := text[at:end]; end-at <= n {
			e.character(chunk)
		} else if len(chunk) <= cacheKeyBytes {
			e.word(chunk)
		} else {
			e.stretch(chunk)
		}
		at = end
	}
}

// character encodes a character that no merge can reach.
func (e *encoder) character(char []byte) {
	start := len(e.ids)
	if id := e.t.charID(char); id >= 0 {
		e.ids = append(e.ids, id)
	} else {
		e.ids = e.t.appendUnknown(e.ids, start, char)
	}
	e.fuse(start)
}

// word encodes a chunk that the cache may know.
func (e *encoder) word(chunk []byte) {
	start := len(e.ids)
	hash := cacheHash(chunk)
	if ids := e.cache.find(hash, chunk); ids != nil {
		e.ids = append(e.ids, ids...)
	} else {
		e.short.merge(e.t, chunk)
		e.ids = e.short.ids(e.ids)
		e.cache.add(hash, chunk, e.ids[start:])
	}
	e.fuse(start)
}

// stretch encodes a long chunk.
func (e *encoder) stretch(chunk []byte) {
	start := len(e.ids)
	if len(chunk) <= maxShort {
		e.short.merge(e.t, chunk)
		e.ids = e.short.ids(e.ids)
	} else {
		e.long.merge(e.t, chunk)
		e.ids = e.long.ids(e.ids)
	}
	e.fuse(start)
}

// fuse replaces two unknown ids that stand side by side at start by one.
func (e *encoder) fuse(start int) {
	unknown := int32(e.t.vocab.UnkID)
	if start > 0 && e.ids[start] == unknown && e.ids[start-1] == unknown && !e.t.vocab.ByteFallback {
		e.ids = append(e.ids[:start], e.ids[start+1:]...)
	}
}

// charID returns the id of a character that is a piece by itself, or -1 if it is none.
func (t *Tokenizer) charID(char []byte) int32 {
	switch {
	case len(char) == 1 && char[0] < utf8.RuneSelf:
		return t.chars[char[0]]
	case len(char) == 2 && char[0] >= 0xc2 && isContinuation(char[1]): // rules of a damaged charsmap may make other bytes
		return t.chars[uint(char[0]&0x1f)<<6|uint(char[1]&0x3f)]
	}
	return t.table.find(hashOf(t.table.base, char), char)
}

// appendUnknown appends ids for a piece that has none: those of its bytes if there are byte pieces; otherwise the unknown id,
// unless ids, from index first on, end with it already.
func (t *Tokenizer) appendUnknown(ids []int32, first int, piece []byte) []int32 {
	unknown := int32(t.vocab.UnkID)
	switch {
	case t.vocab.ByteFallback:
		for _, b := range piece {
			ids = append(ids, t.bytes[b])
		}
	case len(ids) == first || ids[len(ids)-1] != unknown:
		ids = append(ids, unknown)
	}
	return ids
}
