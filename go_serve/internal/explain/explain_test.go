package explain

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"minitron/internal/engine"
	"minitron/internal/testmodel"
)

func server(t *testing.T) *Server {
	t.Helper()
	e, err := engine.New(testmodel.Bundle(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return New(e)
}

func ask[T any](t *testing.T, s *Server, request map[string]any) T {
	t.Helper()
	data, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.Answer(context.Background(), data)
	if err != nil {
		t.Fatal(err)
	}
	return found.(T)
}

func idsOf(tokens []Token) (ids []int) {
	for _, token := range tokens {
		ids = append(ids, token.ID)
	}
	return ids
}

func TestTokens(t *testing.T) {
	s := server(t)
	tokens := ask[[]Token](t, s, map[string]any{"do": "tokens", "text": "hé"})
	if want := testmodel.IDs("hé"); !slices.Equal(idsOf(tokens), want) {
		t.Errorf("got %v, want %v", idsOf(tokens), want)
	}
	if !slices.Equal(tokens[1].Bytes, []int{0xc3}) || tokens[1].Piece != "<0xC3>" {
		t.Errorf("got %+v", tokens[1])
	}
	s.engine.Config.System = "be"
	asked := ask[[]Token](t, s, map[string]any{"do": "tokens", "text": "hi", "chat": true})
	if want := testmodel.IDs(1, "be", 4, 2, "hi", 4, 3); !slices.Equal(idsOf(asked), want) {
		t.Errorf("got %v, want %v", idsOf(asked), want)
	}
	if asked[0].Bytes != nil {
		t.Errorf("a marker writes %v", asked[0].Bytes)
	}
	if none := ask[[]Token](t, s, map[string]any{"do": "tokens", "text": ""}); len(none) != 0 {
		t.Errorf("got %v", none)
	}
}

// TestNext compares with the logits themselves.
func TestNext(t *testing.T) {
	s, ids := server(t), testmodel.IDs(2, "hi", 4, 3)
	size := s.engine.Config.Model.VocabSize
	sequence, err := s.engine.NewSequence()
	if err != nil {
		t.Fatal(err)
	}
	logits, err := sequence.Logits(context.Background(), ids)
	if err != nil {
		t.Fatal(err)
	}
	sum, bits := 0.0, 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v))
	}
	for _, v := range logits {
		p := math.Exp(float64(v)) / sum
		bits -= p * math.Log2(p)
	}
	next := ask[Next](t, s, map[string]any{"do": "next", "ids": ids, "top": engine.MaxTopLogprobs})
	if len(next.Top) != engine.MaxTopLogprobs || math.Abs(next.Entropy-bits) > 1e-6 || size < engine.MaxTopLogprobs {
		t.Errorf("%d tokens, entropy %v, want %v", len(next.Top), next.Entropy, bits)
	}
	for i, likely := range next.Top {
		if want := float64(logits[likely.ID]) - math.Log(sum); math.Abs(likely.Logprob-want) > 1e-6 {
			t.Errorf("%d: %v, want %v", likely.ID, likely.Logprob, want)
		}
		if i > 0 && likely.Logprob > next.Top[i-1].Logprob {
			t.Error("not in order")
		}
		if likely.End != (likely.ID == 4) || likely.Never != (likely.ID < 4) {
			t.Errorf("%+v", likely)
		}
	}
}

func TestAttention(t *testing.T) {
	s := server(t)
	ids := testmodel.IDs(2, "hello")
	layers := ask[[]Layer](t, s, map[string]any{"do": "attention", "ids": ids})
	if len(layers) != 2 || layers[0].Kind != "attention" || len(layers[0].Weights) != 4 {
		t.Fatalf("got %+v", layers)
	}
	for _, weights := range layers[1].Weights {
		if len(weights) != len(ids)*len(ids) || weights[0] != 255 || weights[1] != 0 {
			t.Errorf("got %v", weights)
		}
	}
}

func TestRefusals(t *testing.T) {
	s := server(t)
	for request, want := range map[string]string{
		`{`:                              "no JSON",
		`{"do": "dance"}`:                "does not know",
		`{"do": "next"}`:                 "empty",
		`{"do": "next", "ids": [-1]}`:    "outside",
		`{"do": "next", "ids": [99999]}`: "outside",
		`{"do": "attention", "ids": [` + strings.Repeat("5,", MostAttended) + `5]}`: "too long",
		`{"do": "tokens", "chat": true, "text": "` + strings.Repeat("x", 99) + `"}`: "too long",
	} {
		if _, err := s.Answer(context.Background(), []byte(request)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", request, err, want)
		}
	}
}
