package bundle

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
)

// FuzzVocab compares the reader of vocab.json with encoding/json: the same text is refused with the same sentence, and
// what is accepted has the same values, whatever type a key is read as.
func FuzzVocab(f *testing.F) {
	for _, seed := range vocabSeeds(f) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := ParseVocab(data); err != nil && err.Error() == "" {
			t.Fatal("an error without a sentence")
		}
		fast, fastFailed := scanFields(data)
		slow, slowFailed := parseFields(data)
		if fmt.Sprint(*fastFailed) != fmt.Sprint(*slowFailed) {
			t.Fatalf("%q: %v, encoding/json: %v", data, *fastFailed, *slowFailed)
		}
		if *fastFailed != nil {
			return
		}
		same(t, data, fast.values, slow.values, nil, nil)
		for key := range slow.values {
			// Each read starts without an earlier failure.
			a, b := fast, slow
			a.failed, b.failed = new(error), new(error)
			same(t, data, a.strings(key, maxVocabSize), list[string](b, key, "a list of strings", maxVocabSize), *a.failed, *b.failed)
			a.failed, b.failed = new(error), new(error)
			same(t, data, bits(a.floats(key, maxVocabSize)), bits(list[float32](b, key, "a list of numbers", maxVocabSize)), *a.failed, *b.failed)
			a.failed, b.failed = new(error), new(error)
			same(t, data, a.longText(key), b.text(key), *a.failed, *b.failed)
			a.failed, b.failed = new(error), new(error)
			same(t, data, a.longObject(key).values, b.object(key).values, *a.failed, *b.failed)
		}
	})
}

func same(t *testing.T, data []byte, fast, slow any, fastErr, slowErr error) {
	t.Helper()
	if fmt.Sprint(fastErr) != fmt.Sprint(slowErr) {
		t.Fatalf("%q: %v, encoding/json: %v", data, fastErr, slowErr)
	}
	if slowErr == nil && !reflect.DeepEqual(fast, slow) {
		t.Fatalf("%q: %q, encoding/json: %q", data, fast, slow)
	}
}

// bits tells -0 from 0.
func bits(values []float32) []uint32 {
	all := make([]uint32, len(values))
	for i, v := range values {
		all[i] = math.Float32bits(v)
	}
	return all
}

func vocabSeeds(t testing.TB) []string {
	good, err := os.ReadFile("../model/testdata/llama/vocab.json")
	if err != nil {
		t.Fatal(err)
	}
	seeds := []string{string(good), "", " ", "{}", " {} ", "[]", "null", "7", `"x"`, "{", "}", "{}{}", "{} x", "\ufeff{}",
		`{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a":1 "b":2}`, `{"a":1,"a":[]}`, `{"a":1,"\u0061":2}`, `{1:2}`, `{"a" : 1 }`,
		"{\"a\":\"\t\"}", `{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"\u12G4"}`, `{"a":"`, `{"a":"\`, `{"a":"\"`, "{\"\xff\":1,\"\xfe\":2}"}
	for _, value := range []string{
		`[]`, `[ ]`, `[,]`, `["a",]`, `["a" "b"]`, `["a","b"]`, ` [ "a" , "b" ] `, `["a",null]`, `["a",1]`, `[["a"]]`, `["▁а","ё"]`,
		`["\u2581\n\"\\\/\b\f\r\t","\ud83d\ude00","\ud83d","\ude00x","\uD83Dx"]`, "[\"\xff\",\"a\xe2\x96\"]", "[\"a\x7f\"]", "[\"\x1f\"]",
		`[1.0,-7.0,-0.0,0.0,9999999.0,99999999.0,-16777217.0,12]`, `[12345678901.0]`, `[-.0]`, `[0,-0,-0.0,1.5,1e3,1E+3,1e-3]`, `[1e39]`, `[-3.4028235e38,3.4028236e38]`, `[1e-60]`, `[01]`, `[+1]`, `[.5]`, `[1.]`, `[1e]`, `[-]`,
		`[NaN]`, `[Infinity]`, `[0x1p3]`, `[1_0]`, `[123456789012345678901234567890]`, `[true]`, `[null]`, `[{}]`,
		`"text"`, `"\u00e9"`, `{"a":{"b":[1,{"c":null}]}}`, `{}`, `null`, `true`, `false`, `nul`, `truex`, `-`, `-0`, `1.50`, "\x00", `"` + "\u2028" + `"`,
	} {
		seeds = append(seeds, `{"a":`+value+`}`)
	}
	return seeds
}

// TestVocabDepth nests as deep as encoding/json allows, and once more.
func TestVocabDepth(t *testing.T) {
	for depth, want := range map[int]bool{1: true, maxDepth: true, maxDepth + 1: false, 1 << 20: false} {
		for _, brackets := range []string{"[]", `{"a":` + "}"} {
			open, end := brackets[:len(brackets)-1], brackets[len(brackets)-1:]
			inner := map[byte]string{'[': "", '{': "1"}[brackets[0]]
			text := `{"x":` + strings.Repeat(open, depth-1) + inner + strings.Repeat(end, depth-1) + "}"
			if depth == 1 {
				text = "{}"
			}
			_, failed := scanFields([]byte(text))
			if got := *failed == nil; got != want || got != json.Valid([]byte(text)) {
				t.Errorf("depth %d of %s: %v, encoding/json says %v", depth, brackets, got, json.Valid([]byte(text)))
			}
		}
	}
}

// BenchmarkParseVocab reads the file that MINITRON_VOCAB names, else a made-up vocabulary of 32,000 pieces.
func BenchmarkParseVocab(b *testing.B) {
	data := madeVocab(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseVocab(data); err != nil {
			b.Fatal(err)
		}
	}
}

func madeVocab(t testing.TB) []byte {
	if path := os.Getenv("MINITRON_VOCAB"); path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	pieces, types := []string{"<unk>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"}, "UCCCC"
	for n := len(pieces); n < 32000; n++ {
		pieces, types = append(pieces, fmt.Sprintf("▁слово%d", n)), types+"N"
	}
	scores := make([]float32, len(pieces))
	for n := range scores {
		scores[n] = -float32(n)
	}
	data, err := json.Marshal(map[string]any{
		"kind": "sentencepiece-bpe", "pieces": pieces, "scores": scores, "types": types, "unk_id": 0, "unk_surface": "?",
		"byte_fallback": false, "treat_whitespace_as_suffix": false,
		"normalizer": map[string]any{"add_dummy_prefix": false, "remove_extra_whitespaces": false, "escape_whitespaces": true,
			"precompiled_charsmap": ""},
		"chat": map[string]int{"system": 1, "user": 2, "assistant": 3, "end": 4},
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestVocabIsBounded(t *testing.T) {
	list := "[" + strings.Repeat("1,", maxVocabSize) + "1]"
	f, _ := scanFields([]byte(`{"scores":` + list + `}`))
	f.floats("scores", maxVocabSize)
	if want := `"scores" has more than 1048576 elements`; fmt.Sprint(*f.failed) != want {
		t.Errorf("%v, want %s", *f.failed, want)
	}
}
