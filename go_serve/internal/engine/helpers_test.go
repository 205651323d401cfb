package engine

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"testing"

	"minitron/internal/bundle"
	"minitron/internal/tokenizer"
)

// tiny loads a random model: context 64, ids 1 to 4 are the markers (system, user, assistant, end), and every byte of a text
// is one token, 5 + the byte.
func tiny(t testing.TB) *Engine {
	t.Helper()
	b, err := bundle.Open(os.DirFS("../model/testdata/llama-qknorm"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(b, 1)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// tinyText is tiny as a model that continues text.
func tinyText(t testing.TB) *Engine {
	e := tiny(t)
	e.Config.Template = bundle.RawText
	return e
}

// ids are those of tiny for ids and texts.
func ids(parts ...any) (all []int) {
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

// tokenizing returns an engine that computes nothing, with a vocabulary of the tokenizer's tests.
func tokenizing(t testing.TB, name string) *Engine {
	t.Helper()
	packed, err := os.ReadFile("../tokenizer/testdata/" + name + ".json.gz")
	if err != nil {
		t.Fatal(err)
	}
	unzip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vocab json.RawMessage }
	if err := json.NewDecoder(unzip).Decode(&file); err != nil {
		t.Fatal(err)
	}
	vocab, err := bundle.ParseVocab(file.Vocab)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.New(vocab)
	if err != nil {
		t.Fatal(err)
	}
	return &Engine{Tokenizer: tok}
}

// generate writes greedily after a prompt.
func generate(t testing.TB, e *Engine, prompt []int, maxTokens int) Answer {
	t.Helper()
	q, err := e.NewSequence()
	if err != nil {
		t.Fatal(err)
	}
	sampler := e.NewSampler(1)
	sampler.Params = Params(bundle.Sampling{RepeatPenalty: 1, TopP: 1})
	a, err := q.Generate(context.Background(), Request{Prompt: prompt, MaxTokens: maxTokens}, sampler, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
