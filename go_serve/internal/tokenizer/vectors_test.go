package tokenizer

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"minitron/internal/bundle"
)

// vectorFile is what testdata/make_vectors.py writes with the real library.
type vectorFile struct {
	Vocab json.RawMessage
	Cases []struct {
		Text    []byte `json:"b64"`
		IDs     []int
		Decoded string
	}
	Decodes []struct {
		IDs     []int
		Decoded string
	}
}

func readVectors(t testing.TB, path string) (*Tokenizer, *vectorFile) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var v vectorFile
	if err := json.NewDecoder(unzip).Decode(&v); err != nil {
		t.Fatal(err)
	}
	vocab, err := bundle.ParseVocab(v.Vocab)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := New(vocab)
	if err != nil {
		t.Fatal(err)
	}
	return tok, &v
}

// TestVectors compares with what the C++ library made of hostile texts, and the `tokenizers` library of byte-level BPE;
// TestCampaign does so with millions.
func TestVectors(t *testing.T) {
	paths, _ := filepath.Glob("testdata/*.json.gz")
	if len(paths) < 13 {
		t.Fatalf("%d files of vectors, want at least 13", len(paths))
	}
	total := 0
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".json.gz")
		t.Run(name, func(t *testing.T) {
			tok, v := readVectors(t, path)
			wrong := 0
			for _, c := range v.Cases {
				got := tok.Encode(string(c.Text))
				if !slices.Equal(got, c.IDs) {
					if wrong++; wrong <= 5 {
						t.Errorf("Encode(%q) = %v, want %v", c.Text, got, c.IDs)
					}
					continue
				}
				if decoded := tok.Decode(got); decoded != c.Decoded {
					if wrong++; wrong <= 5 {
						t.Errorf("Decode(Encode(%q)) = %q, want %q", c.Text, decoded, c.Decoded)
					}
				}
			}
			for _, c := range v.Decodes {
				if decoded := tok.Decode(c.IDs); decoded != c.Decoded {
					if wrong++; wrong <= 5 {
						t.Errorf("Decode(%v) = %q, want %q", c.IDs, decoded, c.Decoded)
					}
				}
			}
			t.Logf("%d texts, %d lists of ids, %d wrong", len(v.Cases), len(v.Decodes), wrong)
			total += len(v.Cases)
		})
	}
	t.Logf("%d texts in %d models", total, len(paths))
}

// TestCharactersRoundTrip holds that a base model's characters give every text back as it was, layout and all: a character
// of the vocabulary is one id, another one its bytes, and pieces of several characters, which export marks unused, never come.
func TestCharactersRoundTrip(t *testing.T) {
	tok, v := readVectors(t, "testdata/text.json.gz")
	for _, c := range v.Cases {
		text := string(c.Text)
		ids := tok.Encode(text)
		if got := tok.Decode(ids); got != text {
			t.Fatalf("%q comes back as %q", text, got)
		}
		var want []string
		for _, char := range strings.ReplaceAll(text, " ", spaceSymbol) {
			if id := slices.Index(tok.vocab.Pieces, string(char)); id >= 0 {
				want = append(want, string(char))
				continue
			}
			for _, b := range []byte(string(char)) {
				want = append(want, bytePiece(int(b)))
			}
		}
		var got []string
		for _, id := range ids {
			got = append(got, tok.Piece(id))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q is %q, want %q", text, got, want)
		}
	}
	seen := func(part string) (n int) {
		for _, c := range v.Cases {
			n += strings.Count(string(c.Text), part)
		}
		return n
	}
	for _, part := range []string{"\n", "\n\n", "\t", "\t\t", "     ", "\r\n", "😀", "\x00"} {
		if seen(part) < 10 {
			t.Errorf("%q comes %d times: the test sees too little", part, seen(part))
		}
	}
	if strings.Count(tok.vocab.Types, "X") < 5 {
		t.Error("no pieces of several characters")
	}
}
