package weights

import (
	"fmt"
)

// DTypes are the forms that matrices may have.
var DTypes = []string{"f16", "q8", "q4"}

// Tensor is one tensor of a file.
type Tensor struct {
	Name   string
	DType  string // "f32" of a vector; "f16", "q8" or "q4" of a matrix, which lies in panels
	Shape  []int  // [out, in] or [out]
	Offset int64  // bytes from the start of the file
	Bytes  int64
}

// Elements returns the number of values, without those that fill up panels.
func (t Tensor) Elements() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		n *= int64(d)
	}
	return n
}

// Rows and columns that lie together (docs/formats.md): a matrix is cut into panels of rows; quantised values have one
// scale for each row and group of columns.
const (
	panelRows = 16
	groupCols = 32
)

// Bytes of 16 rows: of one column in f16, of one group of columns in q8 and q4, where the scales come first.
const (
	scaleBytes   = panelRows * 2
	f16ColBytes  = panelRows * 2
	q8GroupBytes = scaleBytes + panelRows*groupCols
	q4GroupBytes = scaleBytes + panelRows*groupCols/2
)

// size returns the bytes of a tensor by its DType and Shape. The bounds of a Shape keep it far from overflow.
func (t Tensor) size() int64 {
	if t.DType == "f32" {
		return 4 * t.Elements()
	}
	out, in := int64(t.Shape[0]), int64(t.Shape[1])
	panels, groups := (out+panelRows-1)/panelRows, (in+groupCols-1)/groupCols
	switch t.DType {
	case "f16":
		return f16ColBytes * panels * in
	case "q8":
		return q8GroupBytes * panels * groups
	case "q4":
		return q4GroupBytes * panels * groups
	}
	panic("weights: a tensor of type " + t.DType)
}

// Table returns the tensors that a model of this shape has when its matrices are of dtype, in the order of the forward pass.
// Their offsets are not set.
func Table(s Shape, dtype string) []Tensor {
	var all []Tensor
	switch s.Arch {
	case "nanogpt":
		all = nanogptTable(s)
	default:
		all = llamaTable(s)
	}
	for i := range all {
		t := &all[i]
		switch {
		case len(t.Shape) == 1:
			t.DType = "f32"
		case t.Name == positions: // never multiplied with: a row is added as it is
			t.DType = "f16"
		default:
			t.DType = dtype
		}
		t.Bytes = t.size()
	}
	return all
}

// positions is the name of the learned positions.
const positions = "transformer.wpe.weight"

func matrix(name string, out, in int) Tensor { return Tensor{Name: name, Shape: []int{out, in}} }

func vector(name string, size int) Tensor { return Tensor{Name: name, Shape: []int{size}} }

func llamaTable(s Shape) []Tensor {
	all := []Tensor{matrix("model.embed_tokens.weight", s.VocabSize, s.Dim)}
	for n := range s.Layers {
		p := fmt.Sprintf("model.layers.%d.", n)
		all = append(all, vector(p+"input_layernorm.weight", s.Dim))
		all = append(all, mixerTable(s, n, p+"self_attn.")...)
		all = append(all,
			vector(p+"post_attention_layernorm.weight", s.Dim),
			matrix(p+"mlp.gate_proj.weight", s.FFDim, s.Dim),
			matrix(p+"mlp.up_proj.weight", s.FFDim, s.Dim),
			matrix(p+"mlp.down_proj.weight", s.Dim, s.FFDim),
		)
	}
	all = append(all, vector("model.norm.weight", s.Dim))
	if s.UntiedHead {
		all = append(all, matrix("lm_head.weight", s.VocabSize, s.Dim))
	}
	return all
}

// mixerTable returns the tensors of the mixer of layer n, the part between its two norms. Their names begin with p.
func mixerTable(s Shape, n int, p string) []Tensor {
	kind := Window
	if s.Endless() {
		kind = s.Kinds[n]
	}
	switch kind {
	case Conv:
		return []Tensor{
			matrix(p+"in_proj.weight", 3*s.Dim, s.Dim),
			vector(p+"conv.weight", s.Dim*s.ConvWidth),
			matrix(p+"o_proj.weight", s.Dim, s.Dim),
		}
	case Delta:
		return []Tensor{
			vector(p+"dt", s.Heads),
			vector(p+"log_a", s.Heads),
			matrix(p+"qkvg_proj.weight", 4*s.QDim(), s.Dim),
			matrix(p+"ab_proj.weight", 2*s.Heads, s.Dim),
			vector(p+"conv.weight", 3*s.QDim()*s.ConvWidth),
			vector(p+"norm.weight", s.HeadDim()),
			matrix(p+"o_proj.weight", s.Dim, s.QDim()),
		}
	}
	all := []Tensor{
		matrix(p+"q_proj.weight", s.QDim(), s.Dim),
		matrix(p+"k_proj.weight", s.KVDim(), s.Dim),
		matrix(p+"v_proj.weight", s.KVDim(), s.Dim),
		matrix(p+"o_proj.weight", s.Dim, s.QDim()),
	}
	if s.QKNorm || s.Endless() { // a stream's attention always has them
		all = append(all, vector(p+"q_norm.weight", s.HeadDim()), vector(p+"k_norm.weight", s.HeadDim()))
	}
	return all
}

func nanogptTable(s Shape) []Tensor {
	all := []Tensor{
		matrix("transformer.wte.weight", s.VocabSize, s.Dim),
		matrix(positions, s.Context, s.Dim),
	}
	add := func(t Tensor, name string) {
		t.Name = name + ".weight"
		all = append(all, t)
		if s.Bias {
			all = append(all, vector(name+".bias", t.Shape[0]))
		}
	}
	for n := range s.Layers {
		p := fmt.Sprintf("transformer.h.%d.", n)
		add(vector("", s.Dim), p+"ln_1")
		add(matrix("", 3*s.Dim, s.Dim), p+"attn.c_attn")
		add(matrix("", s.Dim, s.Dim), p+"attn.c_proj")
		add(vector("", s.Dim), p+"ln_2")
		add(matrix("", s.FFDim, s.Dim), p+"mlp.c_fc")
		add(matrix("", s.Dim, s.FFDim), p+"mlp.c_proj")
	}
	add(vector("", s.Dim), "transformer.ln_f")
	return all
}

// Params counts the weights of a shape as nanoGPT does: without learned positions, tied weights once.
func Params(s Shape) int64 {
	var n int64
	for _, t := range Table(s, "f16") {
		if t.Name != positions {
			n += t.Elements()
		}
	}
	return n
}
