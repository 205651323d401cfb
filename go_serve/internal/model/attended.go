package model

import (
	"context"
	"math"
	"slices"

	"minitron/internal/kernel"
)

// Attended says where the tokens of one text looked in one layer.
type Attended struct {
	Kind    string      // "attention", or the kind of a stream's layer
	Window  int         // how many tokens each one sees; 0: all before it
	Weights [][]float32 // per head [T·T]: row t is what token t gives to each token, in all 1; none without attention
}

// Attention reads ids as a text of their own and returns what every layer's heads look at. It is only for showing that: plain
// loops over what the forward pass computes anyway, with time and memory that grow with the square of the text's length.
func (m *Model) Attention(ctx context.Context, pool *kernel.Pool, ids []int) ([]Attended, error) {
	st := m.newState(pool, len(ids))
	st.watcher = &watcher{keys: make([][]float32, len(m.layers)), tokens: len(ids)}
	for n := range m.layers {
		layer := Attended{Kind: "attention"}
		if m.shape.Endless() {
			layer.Kind = m.shape.Kinds[n]
		}
		if a, ok := m.layers[n].mixer.(*attention); ok {
			layer.Window = a.window
			for range a.heads {
				layer.Weights = append(layer.Weights, make([]float32, len(ids)*len(ids)))
			}
		}
		st.watcher.found = append(st.watcher.found, layer)
	}
	if err := st.Read(ctx, ids); err != nil {
		return nil, err
	}
	return st.watcher.found, nil
}

// watcher computes the attention weights of the layers once more, from its own copy of the keys.
type watcher struct {
	keys   [][]float32 // per layer [tokens so far][K·h]
	tokens int         // of the text
	found  []Attended
}

// look takes the rows of a block right after layer n's memory has read them, when their queries and keys are normed, rotated
// and scaled.
func (w *watcher) look(n int, mixer mixer, rows []float32, start, tokens int) {
	a, ok := mixer.(*attention)
	if !ok {
		return
	}
	stride, width := a.qkv.Width(), a.kvHeads*a.headDim
	for t := range tokens {
		w.keys[n] = append(w.keys[n], rows[t*stride+a.keysAt:][:width]...)
	}
	for t := range tokens {
		position := start + t
		first := 0
		if a.window > 0 {
			first = max(0, position-a.window+1)
		}
		for head := range a.heads {
			query := rows[t*stride+head*a.headDim:][:a.headDim]
			group := head / (a.heads / a.kvHeads) * a.headDim // where the keys of this head begin in a row
			row := w.found[n].Weights[head][position*w.tokens:][:position+1]
			for s := first; s <= position; s++ {
				row[s] = dot(query, w.keys[n][s*width+group:])
			}
			softmax(row[first:])
		}
	}
}

func dot(a, b []float32) (sum float32) {
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

func softmax(x []float32) {
	highest, sum := slices.Max(x), 0.0
	for i, v := range x {
		e := math.Exp(float64(v - highest))
		x[i], sum = float32(e), sum+e
	}
	for i := range x {
		x[i] /= float32(sum)
	}
}
