package model

import (
	"fmt"

	"minitron-chat/internal/bundle"
	"minitron-chat/internal/fault"
	"minitron-chat/internal/kernel"
)

// norm is the weight of an RMSNorm or LayerNorm; Bias is nil where there is none.
type norm struct {
	weight, bias []float32 // [dim]
}

// layer holds one block's weights. Both shapes fit: a nanogpt has its q, k and v in one stacked matrix, which is cut
// into three on loading, and no gate.
type layer struct {
	attnNorm     norm          // [D]
	q, k, v      kernel.Matrix // [H·h][D], [K·h][D], [K·h][D]
	qNorm, kNorm []float32     // [h], or nil
	o            kernel.Matrix // [D][H·h]
	mlpNorm      norm          // [D]
	gate         kernel.Matrix // [F][D]; llama only
	up           kernel.Matrix // [F][D]
	down         kernel.Matrix // [D][F]
}

// Model is the weights as float32, read-only once loaded.
type Model struct {
	shape     bundle.Shape
	embedding kernel.Matrix // [vocab][D], also the head
	positions kernel.Matrix // [context][D]; nanogpt only
	layers    []layer
	finalNorm norm // [D]
}

// Load reads all weights of an opened bundle.
func Load(b *bundle.Bundle) (*Model, error) {
	l := loader{bundle: b, buffer: make([]byte, 1<<20), values: make(map[string][]float32)}
	for _, t := range b.Config.Tensors {
		values, err := l.read(t)
		if err != nil {
			return nil, err
		}
		l.values[t.Name] = values
	}
	m := &Model{shape: b.Config.Model}
	if m.shape.Arch == "nanogpt" {
		l.nanogpt(m)
	} else {
		l.llama(m)
	}
	return m, nil
}

// Shape returns what the model looks like.
func (m *Model) Shape() bundle.Shape { return m.shape }

type loader struct {
	bundle *bundle.Bundle
	buffer []byte
	values map[string][]float32
}

// read converts one tensor to float32.
func (l *loader) read(t bundle.Tensor) ([]float32, error) {
	values := make([]float32, t.Elements())
	rest, finite := values, true
	err := l.bundle.ReadTensor(t.Name, l.buffer, func(chunk []byte) {
		if t.DType == "f16" {
			n := len(chunk) / 2
			finite = kernel.HalvesToFloats(rest[:n], chunk) && finite
			rest = rest[n:]
		} else {
			n := len(chunk) / 4
			finite = kernel.BytesToFloats(rest[:n], chunk) && finite
			rest = rest[n:]
		}
	})
	if err != nil {
		return nil, err
	}
	if !finite {
		return nil, fault.New("export a checkpoint from before the training diverged", "weights.bin holds values that are not finite numbers, in %q", t.Name)
	}
	return values, nil
}

func (l *loader) matrix(name string, rows, cols int) kernel.Matrix {
	return kernel.Matrix{Rows: rows, Cols: cols, Data: l.values[name+".weight"], Bias: l.values[name+".bias"]}
}

func (l *loader) norm(name string) norm {
	return norm{l.values[name+".weight"], l.values[name+".bias"]}
}

func (l *loader) llama(m *Model) {
	s := m.shape
	m.embedding = l.matrix("model.embed_tokens", s.VocabSize, s.Dim)
	m.finalNorm = l.norm("model.norm")
	for n := range s.Layers {
		p := fmt.Sprintf("model.layers.%d.", n)
		m.layers = append(m.layers, layer{
			attnNorm: l.norm(p + "input_layernorm"),
			q:        l.matrix(p+"self_attn.q_proj", s.Dim, s.Dim),
			k:        l.matrix(p+"self_attn.k_proj", s.KVDim(), s.Dim),
			v:        l.matrix(p+"self_attn.v_proj", s.KVDim(), s.Dim),
			qNorm:    l.values[p+"self_attn.q_norm.weight"],
			kNorm:    l.values[p+"self_attn.k_norm.weight"],
			o:        l.matrix(p+"self_attn.o_proj", s.Dim, s.Dim),
			mlpNorm:  l.norm(p + "post_attention_layernorm"),
			gate:     l.matrix(p+"mlp.gate_proj", s.FFDim, s.Dim),
			up:       l.matrix(p+"mlp.up_proj", s.FFDim, s.Dim),
			down:     l.matrix(p+"mlp.down_proj", s.Dim, s.FFDim),
		})
	}
}

func (l *loader) nanogpt(m *Model) {
	s := m.shape
	m.embedding = l.matrix("transformer.wte", s.VocabSize, s.Dim)
	m.positions = l.matrix("transformer.wpe", s.Context, s.Dim)
	m.finalNorm = l.norm("transformer.ln_f")
	for n := range s.Layers {
		p := fmt.Sprintf("transformer.h.%d.", n)
		qkv := l.matrix(p+"attn.c_attn", 3*s.Dim, s.Dim)
		m.layers = append(m.layers, layer{
			attnNorm: l.norm(p + "ln_1"),
			q:        rows(qkv, 0, s.Dim),
			k:        rows(qkv, s.Dim, 2*s.Dim),
			v:        rows(qkv, 2*s.Dim, 3*s.Dim),
			o:        l.matrix(p+"attn.c_proj", s.Dim, s.Dim),
			mlpNorm:  l.norm(p + "ln_2"),
			up:       l.matrix(p+"mlp.c_fc", s.FFDim, s.Dim),
			down:     l.matrix(p+"mlp.c_proj", s.Dim, s.FFDim),
		})
	}
}

// rows returns the rows lo..hi-1 of m, sharing its memory.
func rows(m kernel.Matrix, lo, hi int) kernel.Matrix {
	part := kernel.Matrix{Rows: hi - lo, Cols: m.Cols, Data: m.Data[lo*m.Cols : hi*m.Cols]}
	if m.Bias != nil {
		part.Bias = m.Bias[lo:hi]
	}
	return part
}
