// Package weights is what any file of a model comes to: a shape, and tensors that lie where they were found. It opens files
// without copying them and looks at values; which tensors a shape has is written here once. It knows no file's format (that
// is a loader's matter: internal/bundle) and not what the weights compute (internal/model).
package weights

// Shape is what the transformer looks like.
type Shape struct {
	Arch       string   `json:"arch"` // "llama", "nanogpt" or "stream"
	Layers     int      `json:"n_layers"`
	Heads      int      `json:"n_heads"`
	KVHeads    int      `json:"n_kv_heads"`
	HeadWidth  int      `json:"head_dim,omitzero"` // 0: Dim / Heads
	Dim        int      `json:"d_model"`
	FFDim      int      `json:"d_ff"`
	VocabSize  int      `json:"vocab_size"`
	Context    int      `json:"context"` // tokens; of a stream, of its rows in training
	RopeTheta  float64  `json:"rope_theta"`
	NormEps    float64  `json:"norm_eps"`
	QKNorm     bool     `json:"qk_norm"`
	Bias       bool     `json:"bias"`
	UntiedHead bool     `json:"untied_head,omitzero"` // the head has a matrix of its own
	LogitCap   float64  `json:"logit_cap"`            // logits become cap·tanh(logit / cap); 0 is off
	Kinds      []string `json:"layers,omitempty"`     // of a stream's layers: Conv, Window or Delta
	Window     int      `json:"window,omitzero"`      // tokens that a layer of kind Window sees
	ConvWidth  int      `json:"conv_width,omitzero"`  // tokens that a convolution sees
}

// The kinds of layers that a stream has (docs/streaming.md).
const (
	Conv   = "conv"   // a gated short convolution
	Window = "window" // attention to the last tokens
	Delta  = "delta"  // the gated delta rule
)

// Endless reports whether what is kept of a sequence does not grow with it.
func (s Shape) Endless() bool { return s.Arch == "stream" }

// longest is how many tokens a sequence has at most where no context ends it: rotary angles are right that far.
const longest = 1 << 28

// Longest returns how many tokens a sequence may have.
func (s Shape) Longest() int {
	if s.Endless() {
		return longest
	}
	return s.Context
}

// HeadDim returns the width of one attention head.
func (s Shape) HeadDim() int {
	if s.HeadWidth > 0 {
		return s.HeadWidth
	}
	return s.Dim / s.Heads
}

// QDim returns the width of the queries of one position in one layer: of all heads.
func (s Shape) QDim() int { return s.Heads * s.HeadDim() }

// KVDim returns the width of the keys (and of the values) of one position in one layer.
func (s Shape) KVDim() int { return s.KVHeads * s.HeadDim() }

// Set is the tensors of a model. A loader makes it.
type Set struct {
	Shape   Shape
	DType   string // of the matrices: "f16", "q8" or "q4"
	file    *File
	tensors map[string]Tensor
	order   []Tensor
}

// NewSet makes a set of tensors that lie in a file. Each must lie within it, and they must be Table's.
func NewSet(shape Shape, dtype string, tensors []Tensor, file *File) *Set {
	s := &Set{Shape: shape, DType: dtype, file: file, tensors: make(map[string]Tensor), order: tensors}
	for _, t := range tensors {
		s.tensors[t.Name] = t
	}
	return s
}

// File returns the name of the file, for sentences about it.
func (s *Set) File() string { return s.file.Name }

// Tensor returns the bytes of a tensor where they lie, beginning at a multiple of 64 bytes from the start of the file; they
// must not be written to. The name must be one of Table's.
func (s *Set) Tensor(name string) []byte {
	t, ok := s.tensors[name]
	if !ok {
		panic("weights: unknown tensor " + name)
	}
	return s.file.Data[t.Offset : t.Offset+t.Bytes : t.Offset+t.Bytes]
}
