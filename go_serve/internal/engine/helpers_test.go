package engine

import (
	"context"
	"testing"

	"minitron/internal/bundle"
	"minitron/internal/testmodel"
	"minitron/internal/tokenizer"
)

// tiny loads a random model: context 64, ids 1 to 4 are the markers (system, user, assistant, end), and every byte of a text
// is one token, 5 + the byte.
func tiny(t testing.TB) *Engine {
	t.Helper()
	e, err := New(testmodel.Bundle(t), 1)
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

var ids = testmodel.IDs

// tokenizing returns an engine that computes nothing, with a vocabulary of the tokenizer's tests.
func tokenizing(t testing.TB, name string) *Engine {
	t.Helper()
	tok, err := tokenizer.New(testmodel.Vocabulary(t, name))
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
