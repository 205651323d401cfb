package model

import (
	"fmt"

	"minitron/internal/bundle"
	"minitron/internal/fault"
	"minitron/internal/kernel"
)

// norm is the weight of an RMSNorm or LayerNorm; bias is nil where there is none.
type norm struct {
	weight, bias []float32 // [dim]
}

// layer holds one block's weights; both shapes fit.
type layer struct {
	attnNorm     norm          // [D]
	qkv          kernel.Linear // llama: [H·h][D], [K·h][D], [K·h][D]; nanogpt: the three stacked, [3D][D]
	qNorm, kNorm []float32     // [h], or nil
	o            kernel.Linear // [D][H·h]
	mlpNorm      norm          // [D]
	up           kernel.Linear // llama: gate and up, each [F][D]; nanogpt: [F][D]
	down         kernel.Linear // [D][F]
}

// Model is the weights, read-only and where the bundle has them.
type Model struct {
	shape     bundle.Shape
	dtype     kernel.DType
	embedding kernel.Linear // [vocab][D], also the head
	positions kernel.Matrix // [context][D]; nanogpt only
	layers    []layer
	finalNorm norm // [D]

	keysAt, valuesAt int // where they begin in a row of qkv's output
}

// Load finds all weights of an opened bundle. Matrices are used in place, vectors copied.
func Load(b *bundle.Bundle) (*Model, error) {
	l := loader{dtype: kernel.DType(b.Config.DType), tensor: b.Tensor}
	var m *Model
	if lost := fault.Mapped("weights.bin", func() { m = l.model(b.Config.Model) }); lost != nil {
		return nil, lost
	}
	return m, l.err
}

// Shape returns what the model looks like.
func (m *Model) Shape() bundle.Shape { return m.shape }

type loader struct {
	dtype  kernel.DType
	tensor func(name string) []byte
	err    error
}

func (l *loader) model(shape bundle.Shape) *Model {
	m := &Model{shape: shape, dtype: l.dtype}
	if shape.Arch == "nanogpt" {
		l.nanogpt(m)
	} else {
		l.llama(m)
	}
	return m
}

func (l *loader) matrix(name string, rows, cols int, bias bool) kernel.Matrix {
	m := kernel.Matrix{Rows: rows, Cols: cols, DType: l.dtype, Data: l.tensor(name + ".weight")}
	if bias {
		m.Bias = l.vector(name+".bias", rows)
	}
	return m
}

func (l *loader) linear(name string, rows, cols int, bias bool) kernel.Linear {
	return kernel.Linear{l.matrix(name, rows, cols, bias)}
}

func (l *loader) vector(name string, size int) []float32 {
	values := make([]float32, size)
	if !kernel.BytesToFloats(values, l.tensor(name)) && l.err == nil {
		l.err = fault.New("export a checkpoint from before the training diverged", "weights.bin holds values that are not finite numbers, in %q", name)
	}
	return values
}

func (l *loader) norm(name string, size int, bias bool) norm {
	n := norm{weight: l.vector(name+".weight", size)}
	if bias {
		n.bias = l.vector(name+".bias", size)
	}
	return n
}

func (l *loader) llama(m *Model) {
	s := m.shape
	m.embedding = l.linear("model.embed_tokens", s.VocabSize, s.Dim, false)
	m.finalNorm = l.norm("model.norm", s.Dim, false)
	m.keysAt = kernel.Padded(s.Dim)
	m.valuesAt = m.keysAt + kernel.Padded(s.KVDim())
	for n := range s.Layers {
		p := fmt.Sprintf("model.layers.%d.", n)
		block := layer{
			attnNorm: l.norm(p+"input_layernorm", s.Dim, false),
			qkv: kernel.Linear{
				l.matrix(p+"self_attn.q_proj", s.Dim, s.Dim, false),
				l.matrix(p+"self_attn.k_proj", s.KVDim(), s.Dim, false),
				l.matrix(p+"self_attn.v_proj", s.KVDim(), s.Dim, false),
			},
			o:       l.linear(p+"self_attn.o_proj", s.Dim, s.Dim, false),
			mlpNorm: l.norm(p+"post_attention_layernorm", s.Dim, false),
			up: kernel.Linear{
				l.matrix(p+"mlp.gate_proj", s.FFDim, s.Dim, false),
				l.matrix(p+"mlp.up_proj", s.FFDim, s.Dim, false),
			},
			down: l.linear(p+"mlp.down_proj", s.Dim, s.FFDim, false),
		}
		if s.QKNorm {
			block.qNorm = l.vector(p+"self_attn.q_norm.weight", s.HeadDim())
			block.kNorm = l.vector(p+"self_attn.k_norm.weight", s.HeadDim())
		}
		m.layers = append(m.layers, block)
	}
}

func (l *loader) nanogpt(m *Model) {
	s := m.shape
	m.embedding = l.linear("transformer.wte", s.VocabSize, s.Dim, false)
	m.positions = kernel.Matrix{Rows: s.Context, Cols: s.Dim, DType: kernel.F16, Data: l.tensor("transformer.wpe.weight")}
	m.finalNorm = l.norm("transformer.ln_f", s.Dim, s.Bias)
	m.keysAt, m.valuesAt = s.Dim, 2*s.Dim
	for n := range s.Layers {
		p := fmt.Sprintf("transformer.h.%d.", n)
		m.layers = append(m.layers, layer{
			attnNorm: l.norm(p+"ln_1", s.Dim, s.Bias),
			qkv:      l.linear(p+"attn.c_attn", 3*s.Dim, s.Dim, s.Bias),
			o:        l.linear(p+"attn.c_proj", s.Dim, s.Dim, s.Bias),
			mlpNorm:  l.norm(p+"ln_2", s.Dim, s.Bias),
			up:       l.linear(p+"mlp.c_fc", s.FFDim, s.Dim, s.Bias),
			down:     l.linear(p+"mlp.c_proj", s.Dim, s.FFDim, s.Bias),
		})
	}
}
