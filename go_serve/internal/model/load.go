package model

import (
	"fmt"
	"math"

	"minitron/internal/fault"
	"minitron/internal/kernel"
	"minitron/internal/weights"
)

// maxStateBytes is how many bytes a sequence with a full context may take.
const maxStateBytes = min(4<<30, math.MaxInt)

// Load makes a model from a set of weights. Matrices are used in place, vectors are copied. It fails if a vector has a value
// that is not finite, or if a sequence would take more than maxStateBytes.
func Load(set *weights.Set) (*Model, error) {
	l := loader{Set: set}
	var m *Model
	if lost := fault.Mapped(set.File(), func() { m = l.model() }); lost != nil {
		return nil, lost
	}
	if l.err != nil {
		return nil, l.err
	}
	if bytes := m.StateBytes(); bytes > maxStateBytes {
		what, size := "context", set.Shape.Context
		if set.Shape.Endless() {
			what, size = "window", set.Shape.Window
		}
		return nil, fault.New("export the model with a smaller "+what,
			"a %s of %d tokens would take %d MB of memory, more than the %d MB that this program uses", what, size, bytes>>20, maxStateBytes>>20)
	}
	return m, nil
}

type loader struct {
	*weights.Set
	err error
}

func (l *loader) model() *Model {
	m := &Model{shape: l.Shape, dtype: kernel.DType(l.DType), file: l.File()}
	if l.Shape.Arch == "nanogpt" {
		l.nanogpt(m)
	} else {
		l.llama(m)
	}
	return m
}

func (l *loader) matrix(name string, rows, cols int, bias bool) kernel.Matrix {
	m := kernel.Matrix{Rows: rows, Cols: cols, DType: kernel.DType(l.DType), Data: l.Tensor(name + ".weight")}
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
	if !kernel.BytesToFloats(values, l.Tensor(name)) && l.err == nil {
		l.err = weights.NotFinite(l.File(), name)
	}
	return values
}

func (l *loader) rmsNorm(name string, size int) norm {
	return rmsNorm{l.vector(name+".weight", size), l.Shape.NormEps}
}

func (l *loader) layerNorm(name string) norm {
	n := layerNorm{weight: l.vector(name+".weight", l.Shape.Dim), eps: l.Shape.NormEps}
	if l.Shape.Bias {
		n.bias = l.vector(name+".bias", l.Shape.Dim)
	}
	return n
}

func (l *loader) llama(m *Model) {
	s := l.Shape
	m.embedding = l.linear("model.embed_tokens", s.VocabSize, s.Dim, false)
	m.finalNorm = l.rmsNorm("model.norm", s.Dim)
	m.head = m.embedding
	if s.UntiedHead {
		m.head = l.linear("lm_head", s.VocabSize, s.Dim, false)
	}
	for n := range s.Layers {
		p := fmt.Sprintf("model.layers.%d.", n)
		m.layers = append(m.layers, layer{
			mixerNorm: l.rmsNorm(p+"input_layernorm", s.Dim),
			mixer:     l.mixer(n, p+"self_attn."),
			mlpNorm:   l.rmsNorm(p+"post_attention_layernorm", s.Dim),
			mlp: mlp{
				up: kernel.Linear{
					l.matrix(p+"mlp.gate_proj", s.FFDim, s.Dim, false),
					l.matrix(p+"mlp.up_proj", s.FFDim, s.Dim, false),
				},
				activate: swiGLU,
				down:     l.linear(p+"mlp.down_proj", s.Dim, s.FFDim, false),
			},
		})
	}
}

// mixer loads the mixer of layer n, the part between its two norms. The names of its tensors begin with p.
func (l *loader) mixer(n int, p string) mixer {
	if !l.Shape.Endless() {
		return l.attention(p, l.Shape.QKNorm, 0)
	}
	switch l.Shape.Kinds[n] {
	case weights.Conv:
		return l.shortConv(p)
	case weights.Delta:
		return l.gatedDelta(p)
	}
	return l.attention(p, true, l.Shape.Window)
}

func (l *loader) attention(p string, qkNorm bool, window int) mixer {
	s := l.Shape
	a := &attention{
		heads: s.Heads, kvHeads: s.KVHeads, headDim: s.HeadDim(),
		qkv: kernel.Linear{
			l.matrix(p+"q_proj", s.QDim(), s.Dim, false),
			l.matrix(p+"k_proj", s.KVDim(), s.Dim, false),
			l.matrix(p+"v_proj", s.KVDim(), s.Dim, false),
		},
		keysAt:   kernel.Padded(s.QDim()),
		valuesAt: kernel.Padded(s.QDim()) + kernel.Padded(s.KVDim()),
		rotary:   true,
		window:   window,
		o:        l.linear(p+"o_proj", s.Dim, s.QDim(), false),
	}
	if qkNorm {
		a.qNorm = l.rmsNorm(p+"q_norm", s.HeadDim())
		a.kNorm = l.rmsNorm(p+"k_norm", s.HeadDim())
	}
	return a
}

func (l *loader) shortConv(p string) mixer {
	s := l.Shape
	return &shortConv{
		dim:  s.Dim,
		proj: l.linear(p+"in_proj", 3*s.Dim, s.Dim, false),
		conv: newConvolution(l.vector(p+"conv.weight", s.Dim*s.ConvWidth), s.Dim, s.ConvWidth),
		o:    l.linear(p+"o_proj", s.Dim, s.Dim, false),
	}
}

func (l *loader) gatedDelta(p string) mixer {
	s := l.Shape
	return &gatedDelta{
		heads: s.Heads, headDim: s.HeadDim(),
		proj: kernel.Linear{
			l.matrix(p+"qkvg_proj", 4*s.QDim(), s.Dim, false),
			l.matrix(p+"ab_proj", 2*s.Heads, s.Dim, false),
		},
		abAt:  kernel.Padded(4 * s.QDim()),
		conv:  newConvolution(l.vector(p+"conv.weight", 3*s.QDim()*s.ConvWidth), 3*s.QDim(), s.ConvWidth),
		rate:  rates(l.vector(p+"log_a", s.Heads)),
		shift: l.vector(p+"dt", s.Heads),
		norm:  l.rmsNorm(p+"norm", s.HeadDim()),
		o:     l.linear(p+"o_proj", s.Dim, s.QDim(), false),
	}
}

func (l *loader) nanogpt(m *Model) {
	s := l.Shape
	m.embedding = l.linear("transformer.wte", s.VocabSize, s.Dim, false)
	m.positions = kernel.Matrix{Rows: s.Context, Cols: s.Dim, DType: kernel.F16, Data: l.Tensor("transformer.wpe.weight")}
	m.finalNorm = l.layerNorm("transformer.ln_f")
	m.head = m.embedding
	for n := range s.Layers {
		p := fmt.Sprintf("transformer.h.%d.", n)
		m.layers = append(m.layers, layer{
			mixerNorm: l.layerNorm(p + "ln_1"),
			mixer: &attention{
				heads: s.Heads, kvHeads: s.KVHeads, headDim: s.HeadDim(),
				qkv:    l.linear(p+"attn.c_attn", 3*s.Dim, s.Dim, s.Bias),
				keysAt: s.Dim, valuesAt: 2 * s.Dim,
				o: l.linear(p+"attn.c_proj", s.Dim, s.Dim, s.Bias),
			},
			mlpNorm: l.layerNorm(p + "ln_2"),
			mlp: mlp{
				up:       l.linear(p+"mlp.c_fc", s.FFDim, s.Dim, s.Bias),
				activate: kernel.GELU,
				down:     l.linear(p+"mlp.c_proj", s.Dim, s.FFDim, s.Bias),
			},
		})
	}
}
