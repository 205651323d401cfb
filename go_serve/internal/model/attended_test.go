package model

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"testing"

	"minitron/internal/kernel"
)

// TestAttention compares where the layers look with what Hugging Face's models return (testdata/make_attention.py).
func TestAttention(t *testing.T) {
	data, err := os.ReadFile("testdata/attention.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases map[string]struct {
		IDs    []int
		Layers [][][][]float32
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != len(names) {
		t.Fatalf("%d models, want %d", len(cases), len(names))
	}
	for name, want := range cases {
		m, config := load(t, name)
		found, err := m.Attention(context.Background(), kernel.NewPool(1), want.IDs)
		if err != nil || len(found) != len(want.Layers) {
			t.Fatalf("%s: %d layers, error %v", name, len(found), err)
		}
		size := len(want.IDs)
		for n, layer := range found {
			if len(layer.Weights) != len(want.Layers[n]) {
				t.Fatalf("%s layer %d: %d heads, want %d", name, n, len(layer.Weights), len(want.Layers[n]))
			}
			if kinds := config.Model.Kinds; kinds != nil && layer.Kind != kinds[n] {
				t.Errorf("%s layer %d: kind %q", name, n, layer.Kind)
			}
			for head, weights := range layer.Weights {
				for row := range size {
					sum := 0.0
					for col, got := range weights[row*size:][:size] {
						wanted := float32(0)
						if col <= row {
							wanted = want.Layers[n][head][row][col]
						}
						sum += float64(got)
						if math.Abs(float64(got-wanted)) > 1e-2 {
							t.Fatalf("%s layer %d head %d: token %d takes %v of token %d, want %v", name, n, head, row, got, col, wanted)
						}
					}
					if math.Abs(sum-1) > 1e-5 {
						t.Errorf("%s layer %d head %d: row %d sums to %v", name, n, head, row, sum)
					}
				}
			}
		}
	}
}

// TestAttentionInBlocks reads a text of more than one block: its beginning looks where it looks alone.
func TestAttentionInBlocks(t *testing.T) {
	m, _ := load(t, "stream")
	long := someIDs(blockTokens+20, m.shape.VocabSize)
	short := long[:blockTokens-3]
	whole, err := m.Attention(context.Background(), kernel.NewPool(1), long)
	if err != nil {
		t.Fatal(err)
	}
	part, err := m.Attention(context.Background(), kernel.NewPool(1), short)
	if err != nil {
		t.Fatal(err)
	}
	for n := range part {
		for head := range part[n].Weights {
			for row := range short {
				a, b := part[n].Weights[head][row*len(short):][:row+1], whole[n].Weights[head][row*len(long):][:row+1]
				for col := range a {
					if math.Abs(float64(a[col]-b[col])) > 1e-4 {
						t.Fatalf("layer %d head %d row %d: %v and %v", n, head, row, a[col], b[col])
					}
				}
			}
			if last := whole[n].Weights[head][(len(long)-1)*len(long):]; last[len(long)-1-m.shape.Window] != 0 || last[len(long)-m.shape.Window] == 0 {
				t.Errorf("layer %d head %d: the last token does not see just its window", n, head)
			}
		}
	}
	if _, err := m.Attention(context.Background(), kernel.NewPool(1), nil); err == nil {
		t.Error("no ids were taken")
	}
}
