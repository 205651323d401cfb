package tokenizer

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"minitron/internal/bundle"
)

// TestAppendEncodeAllocatesNothing encodes texts that take every way through the encoder, again and again.
func TestAppendEncodeAllocatesNothing(t *testing.T) {
	for _, name := range []string{"chat", "nmt_nfkc", "rules", "unused", "char", "shuffled"} {
		tok, v := readVectors(t, "testdata/"+name+".json.gz")
		var texts []string
		for _, c := range v.Cases {
			texts = append(texts, string(c.Text))
		}
		texts = append(texts, strings.Repeat("a", 1000), strings.Repeat("ab", 1000))
		e := &encoder{t: tok}
		var ids []int
		run := func() {
			for _, text := range texts {
				ids = e.encode(ids[:0], text)
			}
		}
		for range 3 { // until all buffers are large enough, and the cache full
			run()
		}
		if got := testing.AllocsPerRun(20, run); got > 0 {
			t.Errorf("%s: %v allocations for %d texts", name, got, len(texts))
		}
	}
}

// TestEncodeConcurrently gives many goroutines one tokenizer. With go test -race it also looks at every access.
func TestEncodeConcurrently(t *testing.T) {
	tok, v := readVectors(t, "testdata/chat.json.gz")
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			for i := range v.Cases {
				c := v.Cases[(i*(2*n+1))%len(v.Cases)]
				if got := tok.Encode(string(c.Text)); !slices.Equal(got, c.IDs) {
					t.Errorf("Encode(%q) = %v, want %v", c.Text, got, c.IDs)
					return
				}
			}
		})
	}
	group.Wait()
}

// TestCacheForgets fills the cache far beyond its size: what it knows stays right, and its memory bounded.
func TestCacheForgets(t *testing.T) {
	var c cache
	key := func(i int) []byte { return fmt.Appendf(nil, "word %d", i) }
	for i := range int32(5 * maxCacheSize) {
		k := key(int(i))
		hash := cacheHash(k)
		if ids := c.find(hash, k); ids != nil {
			t.Fatalf("%s is known before it came", k)
		}
		c.add(hash, k, []int32{i, -i})
		if ids := c.find(hash, k); !slices.Equal(ids, []int32{i, -i}) {
			t.Fatalf("%s gives %v", k, ids)
		}
	}
	known := 0
	for i := range int32(5 * maxCacheSize) {
		if ids := c.find(cacheHash(key(int(i))), key(int(i))); ids != nil {
			known++
			if !slices.Equal(ids, []int32{i, -i}) {
				t.Fatalf("%s gives %v", key(int(i)), ids)
			}
		}
	}
	for i := range 1000 { // two that share their places are both known
		a, b := key(2*i), key(2*i+1)
		c.add(5<<50, a, []int32{1})
		c.add(5<<50, b, []int32{2})
		if x, y := c.find(5<<50, a), c.find(5<<50, b); !slices.Equal(x, []int32{1}) || !slices.Equal(y, []int32{2}) {
			t.Fatalf("%s and %s give %v and %v", a, b, x, y)
		}
	}
	if len(c.entries) != maxCacheSize || known < maxCacheSize/2 {
		t.Errorf("%d entries know %d words", len(c.entries), known)
	}
}

// pathological texts of n bytes, by name.
func pathological(n int) map[string]string {
	noise := make([]byte, n)
	chance := rand.New(rand.NewPCG(5, 6))
	for i := range noise {
		noise[i] = byte(chance.Uint32())
	}
	return map[string]string{
		"one letter":          strings.Repeat("a", n),
		"one Russian letter":  strings.Repeat("о", n/2),
		"spaces":              strings.Repeat(" ", n),
		"alternating letters": strings.Repeat("ab", n/2),
		"random bytes":        string(noise),
	}
}

// merging is a vocabulary that merges all that it can.
func merging() *bundle.Vocab {
	return small("a", "b", "aa", "aaaa", "aaaaaaaa", "ab", "ba", "abab", "о", "оо", "оооо", "▁", "▁▁", "▁▁▁▁", "\ufffd", "\ufffd\ufffd")
}

// TestLongTextsAreNotQuadratic encodes a megabyte of each; quadratic code would take hours. In the small vocabulary
// every neighbour pair is a piece, so that the whole text is one chunk.
func TestLongTextsAreNotQuadratic(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute under the race detector, on one goroutine")
	}
	chat, _ := readVectors(t, "testdata/chat.json.gz")
	mixed, _ := readVectors(t, "testdata/unused.json.gz")
	for name, tok := range map[string]*Tokenizer{"merging": mustNew(t, merging()), "chat": chat, "unused": mixed} {
		for what, text := range pathological(1 << 20) {
			began := time.Now()
			ids := tok.Encode(text)
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("%s, %s: took %v", name, what, took)
			}
			if name == "merging" && what == "one letter" && len(ids) != 1<<17 {
				t.Errorf("%d ids, want %d", len(ids), 1<<17)
			}
		}
	}
}

// benchmarkFile reads the file that an environment variable names; benchmarks/tokenizer.py sets it.
func benchmarkFile(b *testing.B, variable string) []byte {
	b.Helper()
	path := os.Getenv(variable)
	if path == "" {
		b.Skip(variable + " names no file; run: python benchmarks/tokenizer.py")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	return data
}

func benchmarkVocab(b *testing.B) *bundle.Vocab {
	b.Helper()
	v, err := bundle.ParseVocab(benchmarkFile(b, "MINITRON_VOCAB"))
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// BenchmarkTexts encodes the texts in the file that MINITRON_TEXTS names, one after the other: the first time, when the
// cache is empty, and again.
func BenchmarkTexts(b *testing.B) {
	v := benchmarkVocab(b)
	raw, _ := unpack(benchmarkFile(b, "MINITRON_TEXTS"), 1)
	var texts []string
	size := 0
	for _, text := range raw {
		texts = append(texts, string(text))
		size += len(text)
	}
	for _, name := range []string{"first", "again"} {
		b.Run(name, func(b *testing.B) {
			tok := mustNew(b, v)
			b.SetBytes(int64(size))
			for b.Loop() {
				if name == "first" {
					tok = mustNew(b, v)
				}
				for _, text := range texts {
					tok.Encode(text)
				}
			}
		})
	}
}

// BenchmarkPathological encodes a kilobyte and a megabyte of each, with a real vocabulary and with one in which all of
// the text is one chunk.
func BenchmarkPathological(b *testing.B) {
	for name, tok := range map[string]*Tokenizer{"real": mustNew(b, benchmarkVocab(b)), "merging": mustNew(b, merging())} {
		for _, size := range []int{1 << 10, 1 << 20} {
			for what, text := range pathological(size) {
				b.Run(fmt.Sprintf("%s/%s/%d", what, name, size), func(b *testing.B) {
					b.SetBytes(int64(size))
					for b.Loop() {
						tok.Encode(text)
					}
				})
			}
		}
	}
}

// BenchmarkStart reads vocab.json and builds the tables, as the program does before its first prompt.
func BenchmarkStart(b *testing.B) {
	data := benchmarkFile(b, "MINITRON_VOCAB")
	b.ReportAllocs()
	for b.Loop() {
		v, err := bundle.ParseVocab(data)
		if err != nil {
			b.Fatal(err)
		}
		mustNew(b, v)
	}
}
