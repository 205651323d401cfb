package tokenizer

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"minitron/internal/bundle"
)

// slowEncoder says in few lines what Encode does: no tables, no cuts, no queue. It looks at all pairs for every merge.
type slowEncoder struct {
	t      *Tokenizer
	halves map[string][2]string
}

func (s *slowEncoder) encode(text string) []int {
	text = s.normalize(text)
	var symbols []string
	var frozen []bool
	for text != "" {
		n := s.symbol(text)
		frozen = append(frozen, n > 0)
		if n == 0 {
			n = min(charLength(text[0]), len(text))
		}
		symbols = append(symbols, text[:n])
		text = text[n:]
	}
	s.halves = make(map[string][2]string)
	joined := func(i int) int { // the id of what symbol i makes with the next, -1
		if i < 0 || i+1 >= len(symbols) || frozen[i] || frozen[i+1] {
			return -1
		}
		return s.id(symbols[i] + symbols[i+1])
	}
	note := func(i int) {
		if id := joined(i); id >= 0 && s.t.vocab.Types[id] == unused {
			s.halves[symbols[i]+symbols[i+1]] = [2]string{symbols[i], symbols[i+1]}
		}
	}
	for i := range symbols {
		note(i)
	}
	for {
		best, bestScore := -1, math.Inf(-1)
		for i := range symbols {
			if id := joined(i); id >= 0 && (best < 0 || float64(s.t.vocab.Scores[id]) > bestScore) {
				best, bestScore = i, float64(s.t.vocab.Scores[id])
			}
		}
		if best < 0 {
			break
		}
		symbols[best] += symbols[best+1]
		symbols = slices.Delete(symbols, best+1, best+2)
		frozen = slices.Delete(frozen, best+1, best+2)
		note(best - 1)
		note(best)
	}
	var ids []int
	for i, symbol := range symbols {
		if frozen[i] {
			ids = append(ids, slices.Index(s.t.vocab.Pieces, symbol))
		} else {
			ids = s.write(ids, symbol, 0)
		}
	}
	return ids
}

// symbol returns the length of the longest user-defined piece that text begins with.
func (s *slowEncoder) symbol(text string) (n int) {
	for id, piece := range s.t.vocab.Pieces {
		if s.t.vocab.Types[id] == userDefined && strings.HasPrefix(text, piece) {
			n = max(n, len(piece))
		}
	}
	return n
}

// id returns the id of a piece that merging may form, -1.
func (s *slowEncoder) id(piece string) int {
	id := slices.Index(s.t.vocab.Pieces, piece)
	if id < 0 || !strings.ContainsRune("NX", rune(s.t.vocab.Types[id])) {
		return -1
	}
	return id
}

func (s *slowEncoder) write(ids []int, piece string, depth int) []int {
	id := s.id(piece)
	if id >= 0 && s.t.vocab.Types[id] == unused && depth <= maxResegmentDepth {
		if parts, ok := s.halves[piece]; ok {
			return s.write(s.write(ids, parts[0], depth+1), parts[1], depth+1)
		}
		id = -1
	}
	switch {
	case id >= 0:
		ids = append(ids, id)
	case s.t.vocab.ByteFallback:
		for i := range len(piece) {
			ids = append(ids, int(s.t.bytes[piece[i]]))
		}
	case len(ids) == 0 || ids[len(ids)-1] != s.t.vocab.UnkID:
		ids = append(ids, s.t.vocab.UnkID)
	}
	return ids
}

// normalize takes one prefix after the other, whatever it is.
func (s *slowEncoder) normalize(text string) string {
	rules := s.t.vocab.Normalizer
	var out strings.Builder
	afterSpace := rules.RemoveExtraWhitespaces
	for text != "" {
		piece, n := s.t.normalizePrefix(text)
		text = text[n:]
		if afterSpace {
			piece = strings.TrimLeft(piece, " ")
		}
		out.WriteString(piece)
		if piece != "" {
			afterSpace = rules.RemoveExtraWhitespaces && strings.HasSuffix(piece, " ")
		}
	}
	result, space := out.String(), " "
	if result == "" {
		return ""
	}
	if rules.AddDummyPrefix && !s.t.vocab.SpaceSuffix {
		result = " " + result
	}
	if rules.EscapeWhitespaces {
		space = spaceSymbol
		result = strings.ReplaceAll(result, " ", space)
	}
	for rules.RemoveExtraWhitespaces && strings.HasSuffix(result, space) {
		result = strings.TrimSuffix(result, space)
	}
	if rules.AddDummyPrefix && s.t.vocab.SpaceSuffix {
		result += space
	}
	return result
}

// randomVocab makes pieces of a few letters with scores that often tie, so that nearly all of a text can merge.
func randomVocab(chance *rand.Rand) *bundle.Vocab {
	letters := []string{"a", "b", "é", "界", "😀", "▁"}[:2+chance.IntN(5)]
	var pieces []string
	for range 2 + chance.IntN(40) {
		piece := ""
		for range 1 + chance.IntN(5) {
			piece += letters[chance.IntN(len(letters))]
		}
		if !slices.Contains(pieces, piece) {
			pieces = append(pieces, piece)
		}
	}
	v := small(pieces...)
	types := []byte(v.Types)
	scores := []int{1, 2, 8, 1000}[chance.IntN(4)]
	for id := 5; id < len(v.Pieces); id++ {
		v.Scores[id] = float32(chance.IntN(scores))
		if chance.IntN(10) == 0 {
			types[id] = "CDDX"[chance.IntN(4)]
		}
	}
	if chance.IntN(3) > 0 { // texts are cut only where no piece is unused
		types = []byte(strings.ReplaceAll(string(types), "X", "N"))
	}
	v.Types = string(types)
	v.Normalizer = bundle.Normalizer{AddDummyPrefix: chance.IntN(2) == 0, RemoveExtraWhitespaces: chance.IntN(2) == 0,
		EscapeWhitespaces: chance.IntN(4) > 0}
	v.SpaceSuffix = chance.IntN(4) == 0
	if chance.IntN(2) == 0 {
		v = withBytes(v)
	}
	return v
}

// TestEncodeIsTheSlowOne compares Encode with its slow twin. The texts are short and long, so that they take every way
// through Encode; each comes twice, the second time from the cache.
func TestEncodeIsTheSlowOne(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	var short, long, texts int
	for range 300 {
		v := randomVocab(chance)
		tok := mustNew(t, v)
		slow := slowEncoder{t: tok}
		for range 12 {
			var text strings.Builder
			for range chance.IntN([]int{6, 30, 150}[chance.IntN(3)]) {
				text.WriteString([]string{"a", "b", "é", "界", "😀", " ", "▁", "a", "b", "ab", "x", "\xff", "aa", "bb"}[chance.IntN(14)])
			}
			want := slow.encode(text.String())
			for range 2 {
				if got := tok.Encode(text.String()); !slices.Equal(got, want) {
					t.Fatalf("pieces %q, types %s, scores %v, %+v:\nEncode(%q) = %v,\nthe slow way %v",
						v.Pieces[:min(len(v.Pieces), 50)], v.Types, v.Scores, v.Normalizer, text.String(), got, want)
				}
			}
			texts++
		}
		if e, _ := tok.encoders.Get().(*encoder); e != nil { // the race detector makes the pool forget some
			short += len(e.cache.entries)
			long += len(e.long.symbols)
		}
	}
	if short == 0 || long == 0 || texts < 3000 {
		t.Errorf("%d texts, cache %d, long chunks %d: some way was not taken", texts, short, long)
	}
}

// TestAgenda compares the agenda with a sorted list.
func TestAgenda(t *testing.T) {
	chance := rand.New(rand.NewPCG(3, 4))
	for _, places := range []int{1, 3, 64, 65, 5000} {
		var a agenda
		for range 2 { // it is used again
			a.prepare(places, 10)
			var sorted []waiting
			for range 5000 {
				if len(sorted) == 0 || chance.IntN(5) < 3 {
					w := waiting{int32(chance.IntN(places)), pair{int32(chance.IntN(50)), 0, 0}}
					if chance.IntN(4) == 0 {
						w.left = 1000 + int32(len(sorted)) // mostly in order
					}
					a.push(w.place, w.pair)
					at, _ := slices.BinarySearchFunc(sorted, w, func(x, y waiting) int {
						if x.before(y) {
							return -1
						}
						return 1
					})
					sorted = slices.Insert(sorted, at, w)
					continue
				}
				if got, ok := a.pop(); !ok || got != sorted[0].pair {
					t.Fatalf("%d places: pop gives %v, want %v", places, got, sorted[0])
				}
				sorted = sorted[1:]
			}
			for _, w := range sorted {
				if got, ok := a.pop(); !ok || got != w.pair {
					t.Fatalf("%d places: pop gives %v, want %v", places, got, w)
				}
			}
			if _, ok := a.pop(); ok {
				t.Fatal("an empty agenda gives a pair")
			}
		}
	}
}
