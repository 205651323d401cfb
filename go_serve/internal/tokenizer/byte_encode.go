package tokenizer

import (
	"slices"

	"minitron/internal/pretoken"
)

// byteEncoder holds what encoding one text needs besides the byteLevel itself. Only one goroutine at a time may use it.
type byteEncoder struct {
	b       *byteLevel
	ids     []int32 // of the text so far
	part    []byte
	cache   cache
	symbols []byteSymbol // the last one stands for the end
	agenda  agenda
}

// byteSymbol is a stretch of a part that ends where the next symbol starts.
type byteSymbol struct {
	start      int32 // byte
	prev, next int32 // indices of symbols; prev is -1 for the first; next is -1 for the end, and for a symbol merged into its left neighbour
	id         int32
}

// appendEncode appends the ids of text, which may be any bytes. The time is linear in the length of the text.
func (b *byteLevel) appendEncode(ids []int, text string) []int {
	e, _ := b.encoders.Get().(*byteEncoder)
	if e == nil {
		e = &byteEncoder{b: b}
	}
	e.ids = e.ids[:0]
	e.encode(characters(text))
	ids = slices.Grow(ids, len(e.ids))
	for _, id := range e.ids {
		ids = append(ids, int(id))
	}
	b.encoders.Put(e)
	return ids
}

// encode takes the user-defined symbols out of the text, from left to right and the longest at each place, and encodes the text
// between them.
func (e *byteEncoder) encode(text string) {
	symbols := &e.b.symbols
	done := 0
	for at := 0; symbols.used > 0 && at < len(text); {
		if symbols.begins[text[at]] {
			if id, size := longestSymbol(symbols, text[at:]); size > 0 {
				e.between(text[done:at])
				e.ids = append(e.ids, id)
				at += size
				done = at
				continue
			}
		}
		at++
	}
	e.between(text[done:])
}

// between encodes a text without symbols, part by part.
func (e *byteEncoder) between(text string) {
	if e.b.nfc {
		text = pretoken.NFC(text)
	}
	for text != "" {
		n := e.b.next(text)
		e.word(text[:n])
		text = text[n:]
	}
}

// word encodes one part.
func (e *byteEncoder) word(text string) {
	if id, ok := e.b.whole[text]; ok {
		e.ids = append(e.ids, id)
		return
	}
	e.part = append(e.part[:0], text...)
	if len(e.part) > cacheKeyBytes {
		e.merge()
		return
	}
	hash := cacheHash(e.part)
	if ids := e.cache.find(hash, e.part); ids != nil {
		e.ids = append(e.ids, ids...)
		return
	}
	start := len(e.ids)
	e.merge()
	e.cache.add(hash, e.part, e.ids[start:])
}

// merge joins the bytes of the part by the list of merges, and appends the ids of the resulting symbols.
func (e *byteEncoder) merge() {
	e.symbols = slices.Grow(e.symbols[:0], len(e.part)+1)
	for i, c := range e.part {
		e.symbols = append(e.symbols, byteSymbol{int32(i), int32(i) - 1, int32(i) + 1, e.b.bytes[c]})
	}
	e.symbols = append(e.symbols, byteSymbol{start: int32(len(e.part)), prev: int32(len(e.part)) - 1, next: -1})
	e.agenda.prepare(max(1, len(e.b.merges)), len(e.symbols))
	for i := 1; i < len(e.symbols); i++ {
		e.consider(int32(i-1), int32(i))
	}
	for {
		top, ok := e.agenda.pop()
		if !ok {
			break
		}
		l := &e.symbols[top.left]
		if l.next < 0 {
			continue // stale: the left symbol was merged into its own left neighbour
		}
		r := &e.symbols[l.next]
		if r.next < 0 || e.symbols[r.next].start-l.start != top.size {
			continue // stale: one of them has grown
		}
		l.id = top.id
		e.symbols[r.next].prev = top.left
		l.next, r.next = r.next, -1
		if l.prev >= 0 {
			e.consider(l.prev, top.left)
		}
		e.consider(top.left, l.next)
	}
	for i := int32(0); e.symbols[i].next >= 0; i = e.symbols[i].next {
		e.ids = append(e.ids, e.symbols[i].id)
	}
}

// consider pushes the pair if there is a merge for it.
func (e *byteEncoder) consider(left, right int32) {
	l, r := &e.symbols[left], &e.symbols[right]
	if r.next < 0 { // the end
		return
	}
	if m, ok := e.b.merges[[2]int32{l.id, r.id}]; ok {
		e.agenda.push(m.place, pair{left, e.symbols[r.next].start - l.start, m.id})
	}
}
