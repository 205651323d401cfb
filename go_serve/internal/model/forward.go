package model

import (
	"math"

	"minitron-chat/internal/kernel"
)

// forward runs the ids at positions start, start+1, ... through all layers. It leaves their keys and values in the cache
// and the last layer's output in st.x.
func (st *State) forward(ids []int, start int) {
	m, tokens := st.model, len(ids)
	dim, half := m.shape.Dim, m.shape.HeadDim()/2
	for t, id := range ids {
		x := st.x[t*dim : (t+1)*dim]
		copy(x, m.embedding.Data[id*dim:(id+1)*dim])
		if m.shape.Arch == "nanogpt" {
			position := start + t
			kernel.Add(x, m.positions.Data[position*dim:(position+1)*dim])
		} else {
			kernel.RopeAngles(st.cos[t*half:(t+1)*half], st.sin[t*half:(t+1)*half], start+t, m.shape.RopeTheta)
		}
	}
	for n := range m.layers {
		st.attend(n, start, tokens)
		st.feedForward(&m.layers[n], tokens)
	}
}

// head computes the logits of position t of the block.
func (st *State) head(t int) {
	m, dim := st.model, st.model.shape.Dim
	st.norm(&m.finalNorm, st.normed[:dim], st.x[t*dim:(t+1)*dim])
	st.matmul.Run(st.pool, &m.embedding, st.normed, st.logits, 1)
}

// attend adds attention's output to x: x += o(attention(q(norm(x)), k(norm(x)), v(norm(x)))).
func (st *State) attend(n, start, tokens int) {
	l, shape := &st.model.layers[n], &st.model.shape
	kv := shape.KVDim()
	keys := st.keys[n][start*kv : (start+tokens)*kv]     // [T][K·h], computed where they stay
	values := st.values[n][start*kv : (start+tokens)*kv] // [T][K·h]

	st.normBlock(&l.attnNorm, tokens)
	st.matmul.Run(st.pool, &l.q, st.normed, st.q, tokens)
	st.matmul.Run(st.pool, &l.k, st.normed, keys, tokens)
	st.matmul.Run(st.pool, &l.v, st.normed, values, tokens)
	for t := range tokens {
		st.place(st.q[t*shape.Dim:(t+1)*shape.Dim], l.qNorm, t)
		st.place(keys[t*kv:(t+1)*kv], l.kNorm, t)
	}

	st.attention.run(st, n, start, tokens)
	st.matmul.Run(st.pool, &l.o, st.mixed, st.normed, tokens)
	kernel.Add(st.x[:tokens*shape.Dim], st.normed)
}

// place norms (where the model does) and rotates the heads of one token's queries or keys.
func (st *State) place(heads, weight []float32, t int) {
	shape := &st.model.shape
	if shape.Arch == "nanogpt" {
		return
	}
	width := shape.HeadDim()
	cos, sin := st.cos[t*width/2:(t+1)*width/2], st.sin[t*width/2:(t+1)*width/2]
	for at := 0; at < len(heads); at += width {
		head := heads[at : at+width]
		if weight != nil {
			kernel.RMSNorm(head, head, weight, float32(shape.NormEps))
		}
		kernel.Rope(head, cos, sin)
	}
}

// feedForward adds the MLP's output to x.
func (st *State) feedForward(l *layer, tokens int) {
	shape := &st.model.shape
	st.normBlock(&l.mlpNorm, tokens)
	hidden := st.hidden[:tokens*shape.FFDim]
	if shape.Arch == "nanogpt" { // x += down(gelu(up(norm(x))))
		st.matmul.Run(st.pool, &l.up, st.normed, hidden, tokens)
		kernel.GELU(hidden)
		st.matmul.Run(st.pool, &l.down, hidden, st.normed, tokens)
	} else { // x += down(silu(gate(norm(x))) · up(norm(x)))
		gate := st.gate[:tokens*shape.FFDim]
		st.matmul.Run(st.pool, &l.gate, st.normed, gate, tokens)
		st.matmul.Run(st.pool, &l.up, st.normed, hidden, tokens)
		kernel.SwiGLU(gate, hidden)
		st.matmul.Run(st.pool, &l.down, gate, st.normed, tokens)
	}
	kernel.Add(st.x[:tokens*shape.Dim], st.normed)
}

func (st *State) normBlock(n *norm, tokens int) {
	dim := st.model.shape.Dim
	for t := range tokens {
		st.norm(n, st.normed[t*dim:(t+1)*dim], st.x[t*dim:(t+1)*dim])
	}
}

func (st *State) norm(n *norm, out, x []float32) {
	eps := float32(st.model.shape.NormEps)
	if st.model.shape.Arch == "nanogpt" {
		kernel.LayerNorm(out, x, n.weight, n.bias, eps)
	} else {
		kernel.RMSNorm(out, x, n.weight, eps)
	}
}

// attention is the job softmax(q·kᵀ / √h)·v of one layer for a block of tokens; its items are (token, head) pairs.
type attention struct {
	st    *State
	layer int
	start int     // position of the block's first token
	scale float32 // 1/√h
}

func (a *attention) run(st *State, layer, start, tokens int) {
	shape := &st.model.shape
	*a = attention{st, layer, start, float32(1 / math.Sqrt(float64(shape.HeadDim())))}
	st.pool.Run(a, tokens*shape.Heads, 2*(start+tokens)*shape.HeadDim())
}

// Do computes the items lo..hi-1.
func (a *attention) Do(lo, hi int) {
	st, shape := a.st, &a.st.model.shape
	width, kv := shape.HeadDim(), shape.KVDim()
	group := shape.Heads / shape.KVHeads // query heads per key/value head
	for item := lo; item < hi; item++ {
		t, head := item/shape.Heads, item%shape.Heads
		seen := a.start + t + 1 // positions 0..seen-1
		q := st.q[item*width : (item+1)*width]
		out := st.mixed[item*width : (item+1)*width]
		scores := st.scores[item*shape.Context:][:seen]
		at := head / group * width // of this head's keys and values in a row of the cache

		for p := range scores {
			scores[p] = kernel.Dot(q, st.keys[a.layer][p*kv+at:p*kv+at+width]) * a.scale
		}
		kernel.Softmax(scores)
		clear(out)
		for p, weight := range scores {
			kernel.AddScaled(out, st.values[a.layer][p*kv+at:p*kv+at+width], weight)
		}
	}
}
