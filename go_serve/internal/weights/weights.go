// Package weights is a model as it comes from any format of file: a shape, and tensors that stay where they were found. It
// opens files without copying them and checks values, and it is the one place that says which tensors a shape has. It knows
// neither a file's format (a loader does: internal/bundle) nor what the weights compute (internal/model).
package weights

// Shape is the architecture of the transformer and its sizes.
type Shape struct {
	Arch       string   `json:"arch"` // "llama", "nanogpt" or "stream"
	Layers     int      `json:"n_layers"`
	Heads      int      `json:"n_heads"`
	KVHeads    int      `json:"n_kv_heads"`
	HeadWidth  int      `json:"head_dim,omitzero"` // 0: Dim / Heads
	Dim        int      `json:"d_model"`
	FFDim      int      `json:"d_ff"`
	VocabSize  int      `json:"vocab_size"`
	Context    int      `json:"context"` // tokens; for a stream, the length of its sequences in training
	RopeTheta  float64  `json:"rope_theta"`
	NormEps    float64  `json:"norm_eps"`
	QKNorm     bool     `json:"qk_norm"`
	Bias       bool     `json:"bias"`
	UntiedHead bool     `json:"untied_head,omitzero"` // whether the head has a matrix of its own
	LogitCap   float64  `json:"logit_cap"`            // logits become cap·tanh(logit / cap); 0 is off
	Kinds      []string `json:"layers,omitempty"`     // by layer of a stream: Conv, Window or Delta
	Window     int      `json:"window,omitzero"`      // tokens that a layer of kind Window sees
	ConvWidth  int      `json:"conv_width,omitzero"`  // tokens that a convolution sees
}

// The kinds of layers that a stream has (docs/streaming.md).
const (
	Conv   = "conv"   // a gated short convolution
	Window = "window" // attention to the last tokens
	Delta  = "delta"  // the gated delta rule
)

// Endless reports whether the memory that is kept of a sequence does not grow with its length.
func (s Shape) Endless() bool { return s.Arch == "stream" }

// longest is the largest number of tokens in a sequence that no context ends: rotary angles are accurate up to there.
const longest = 1 << 28

// Longest returns how many tokens a sequence may have at most.
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

// QDim returns the width of the queries of one position in one layer, all heads together.
func (s Shape) QDim() int { return s.Heads * s.HeadDim() }

// KVDim returns the width of the keys (and of the values) of one position in one layer.
func (s Shape) KVDim() int { return s.KVHeads * s.HeadDim() }

// Set holds the tensors of a model. A loader makes it.
type Set struct {
	Shape   Shape
	DType   string // of the matrices: "f16", "q8" or "q4"
	file    *File
	tensors map[string]Tensor
	order   []Tensor
}

// NewSet makes a set of the tensors in a file. They must be those of Table, and each must lie within the file.
func NewSet(shape Shape, dtype string, tensors []Tensor, file *File) *Set {
	s := &Set{Shape: shape, DType: dtype, file: file, tensors: make(map[string]Tensor), order: tensors}
	for _, t := range tensors {
		s.tensors[t.Name] = t
	}
	return s
}

// File returns the name of the file, for error messages.
func (s *Set) File() string { return s.file.Name }

// Tensor returns the bytes of a tensor in place, beginning at a multiple of 64 bytes from the start of the file; they must not
// be written to. The name must be one of Table's.
func (s *Set) Tensor(name string) []byte {
	t, ok := s.tensors[name]
	if !ok {
		panic("weights: unknown tensor " + name)
	}
	return s.file.Data[t.Offset : t.Offset+t.Bytes : t.Offset+t.Bytes]
}
