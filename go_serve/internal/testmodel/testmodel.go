// Package testmodel holds what the tests of several packages share: tiny random models, and vocabularies. No program imports
// it.
//
// Knows nothing about engines, chats and servers.
package testmodel

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"testing"

	"minitron/internal/bundle"
)

// Bundle opens a tiny random model: its context is 64 tokens, ids 1 to 4 are the markers (system, user, assistant, end), and
// every byte of a text is one token, with the id 5 + the byte.
func Bundle(t testing.TB) *bundle.Bundle { return named(t, "llama-qknorm") }

// Stream is Bundle with a model whose context has no end. It was trained on sequences of 64 tokens, and its windows are of 12
// tokens.
func Stream(t testing.TB) *bundle.Bundle { return named(t, "stream") }

func named(t testing.TB, name string) *bundle.Bundle {
	t.Helper()
	b, err := bundle.Open(os.DirFS("../model/testdata/" + name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Text is Bundle with a model that continues text.
func Text(t testing.TB) *bundle.Bundle {
	t.Helper()
	b := Bundle(t)
	b.Config.Template = bundle.RawText
	return b
}

// IDs returns the ids that Bundle's model has for parts: ids and texts.
func IDs(parts ...any) (all []int) {
	for _, part := range parts {
		switch p := part.(type) {
		case int:
			all = append(all, p)
		case string:
			for i := range len(p) {
				all = append(all, 5+int(p[i]))
			}
		}
	}
	return all
}

// Dialogue holds messages, and the ids that minitron's Python code makes of them to ask for an answer.
type Dialogue struct {
	Messages []struct{ Role, Content string }
	IDs      []int
}

// Vocabulary reads one of the vocabularies in the tokenizer's testdata: chat, char, nmt_nfkc, ...
func Vocabulary(t testing.TB, name string) *bundle.Vocab {
	t.Helper()
	v, _ := Dialogues(t, name)
	return v
}

// Dialogues reads such a vocabulary with its dialogues; only those of a byte-level BPE have any.
func Dialogues(t testing.TB, name string) (*bundle.Vocab, []Dialogue) {
	t.Helper()
	packed, err := os.ReadFile("../tokenizer/testdata/" + name + ".json.gz")
	if err != nil {
		t.Fatal(err)
	}
	unzip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vocab     json.RawMessage
		Dialogues []Dialogue
	}
	if err := json.NewDecoder(unzip).Decode(&file); err != nil {
		t.Fatal(err)
	}
	vocab, err := bundle.ParseVocab(file.Vocab)
	if err != nil {
		t.Fatal(err)
	}
	return vocab, file.Dialogues
}
