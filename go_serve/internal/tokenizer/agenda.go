package tokenizer

import (
	"math/bits"
	"slices"
)

// agenda is a queue of pairs: the best place comes first, and within a place the leftmost pair. (A place is the position of a
// score among all scores, the highest first, or of a merge in its list.) Merging walks each place from left to right, so that
// nearly all pairs of one place come in order. Those wait in a list per place, which costs a constant time; the others wait in
// a heap.
type agenda struct {
	lists []list
	items []item     // items[0] is not used, as index 0 stands for none
	free  int32      // the first of a list of items to use again; 0: none
	full  [][]uint64 // full[0] has a bit per place whose list is not empty, full[n+1] a bit per word of full[n] that is not 0
	heap  []waiting
}

// pair is two neighbouring symbols whose concatenation is a piece.
type pair struct {
	left int32 // index of the left symbol
	size int32 // bytes of both together; if they have another size now, the pair is stale
	id   int32 // of the concatenation
}

type list struct{ first, last int32 } // indices of items; 0 if the list is empty

type item struct {
	pair
	next int32
}

type waiting struct {
	place int32
	pair
}

func (p waiting) before(q waiting) bool {
	return p.place < q.place || (p.place == q.place && p.left < q.left)
}

// prepare makes room for that many places and pairs. The agenda must be empty.
func (a *agenda) prepare(places, pairs int) {
	a.items, a.free = append(slices.Grow(a.items[:0], pairs+1), item{}), 0
	if len(a.lists) == places {
		return
	}
	a.lists, a.full = make([]list, places), nil
	for words := places; len(a.full) == 0 || words > 1; {
		words = (words + 63) / 64
		a.full = append(a.full, make([]uint64, words))
	}
}

func (a *agenda) push(place int32, p pair) {
	l := &a.lists[place]
	if l.last != 0 && p.left < a.items[l.last].left {
		a.pushHeap(waiting{place, p})
		return
	}
	at := a.free
	if at != 0 {
		a.free = a.items[at].next
		a.items[at] = item{p, 0}
	} else {
		at = int32(len(a.items))
		a.items = append(a.items, item{p, 0})
	}
	if l.last != 0 {
		a.items[l.last].next = at
		l.last = at
		return
	}
	*l = list{at, at}
	for n := range a.full {
		a.full[n][place/64] |= 1 << (place % 64)
		place /= 64
	}
}

// pop removes and returns the first pair; ok is false if there is none.
func (a *agenda) pop() (p pair, ok bool) {
	place := a.best()
	if place < 0 {
		if len(a.heap) == 0 {
			return pair{}, false
		}
		return a.popHeap(), true
	}
	l := &a.lists[place]
	at := l.first
	first := &a.items[at]
	if len(a.heap) > 0 && a.heap[0].before(waiting{place, first.pair}) {
		return a.popHeap(), true
	}
	if l.first = first.next; l.first == 0 {
		l.last = 0
		for n := range a.full {
			a.full[n][place/64] &^= 1 << (place % 64)
			if a.full[n][place/64] != 0 {
				break
			}
			place /= 64
		}
	}
	first.next = a.free
	a.free = at
	return first.pair, true
}

// best returns the first place whose list is not empty, or -1 if all are empty.
func (a *agenda) best() int32 {
	place := 0
	for n := len(a.full) - 1; n >= 0; n-- {
		word := a.full[n][place]
		if word == 0 {
			return -1
		}
		place = 64*place + bits.TrailingZeros64(word)
	}
	return int32(place)
}

func (a *agenda) pushHeap(p waiting) {
	h := append(a.heap, p)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !p.before(h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = p
	a.heap = h
}

func (a *agenda) popHeap() pair {
	h := a.heap
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	a.heap = h
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(h) {
			if len(h) > 0 {
				h[i] = last
			}
			return top.pair
		}
		if child+1 < len(h) && h[child+1].before(h[child]) {
			child++
		}
		if !h[child].before(last) {
			h[i] = last
			return top.pair
		}
		h[i] = h[child]
		i = child
	}
}
