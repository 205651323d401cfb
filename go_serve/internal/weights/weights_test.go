package weights

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"unsafe"
)

var (
	llama   = Shape{Arch: "llama", Layers: 2, Heads: 4, KVHeads: 1, Dim: 24, FFDim: 40, VocabSize: 272, Context: 64, QKNorm: true}
	nanogpt = Shape{Arch: "nanogpt", Layers: 1, Heads: 2, KVHeads: 2, Dim: 24, FFDim: 40, VocabSize: 272, Context: 50, Bias: true}
)

// TestSizes pins what docs/formats.md says about the bytes of a tensor.
func TestSizes(t *testing.T) {
	tests := []struct {
		dtype string
		shape []int
		want  int64
	}{
		{"f32", []int{5}, 20},
		{"f16", []int{16, 32}, 1024},
		{"f16", []int{17, 33}, 2 * 32 * 33},
		{"q8", []int{16, 32}, 544},
		{"q8", []int{17, 33}, 4 * 544},
		{"q4", []int{16, 32}, 288},
		{"q4", []int{1, 1}, 288},
		{"q8", []int{32000, 512}, 544 * 2000 * 16},
		{"q4", []int{512, 1376}, 288 * 32 * 43},
		{"q8", []int{1 << 20, 1 << 18}, 544 << 16 << 13}, // the largest that a Shape allows
	}
	for _, test := range tests {
		if got := (Tensor{DType: test.dtype, Shape: test.shape}).size(); got != test.want {
			t.Errorf("%s %v: %d bytes, want %d", test.dtype, test.shape, got, test.want)
		}
	}
	if got, want := Params(llama), int64(272*24+2*(2*24*24+2*6*24+2*6+3*40*24+2*24)+24); got != want {
		t.Errorf("Params = %d, want %d", got, want)
	}
	for _, tensor := range Table(nanogpt, "q4") {
		want := "q4"
		if len(tensor.Shape) == 1 {
			want = "f32"
		} else if tensor.Name == "transformer.wpe.weight" {
			want = "f16"
		}
		if tensor.DType != want {
			t.Errorf("%s is %s, want %s", tensor.Name, tensor.DType, want)
		}
	}
}

// TestImportedShapes has heads whose width is not d_model / n_heads, and a head that is not the embedding.
func TestImportedShapes(t *testing.T) {
	s := llama
	s.HeadWidth, s.UntiedHead = 10, true
	if s.QDim() != 40 || s.KVDim() != 10 || llama.QDim() != 24 || llama.KVDim() != 6 {
		t.Errorf("widths %d, %d, %d, %d", s.QDim(), s.KVDim(), llama.QDim(), llama.KVDim())
	}
	if got, want := Params(s), int64(2*272*24+2*(2*40*24+2*10*24+2*10+3*40*24+2*24)+24); got != want {
		t.Errorf("Params = %d, want %d", got, want)
	}
	table := Table(s, "q8")
	if last := table[len(table)-1]; last.Name != "lm_head.weight" || last.Shape[0] != 272 || last.Shape[1] != 24 {
		t.Errorf("the head is %+v", last)
	}
}

// TestFiles opens a file in each of the ways there are, and none that is too large.
func TestFiles(t *testing.T) {
	const text = "some bytes"
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "f"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	inside := Strings{"f": text}
	if data, err := fs.ReadFile(inside, "f"); string(data) != text || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	for _, fsys := range []fs.FS{os.DirFS(folder), inside, fstest.MapFS{"f": {Data: []byte(text)}}} {
		for _, open := range []func(fs.FS, string, func(int64) error) (*File, error){Read, Map} {
			asked := int64(0)
			file, err := open(fsys, "f", func(size int64) error { asked = size; return nil })
			if err != nil || string(file.Data) != text || file.Name != "f" || asked != int64(len(text)) {
				t.Fatalf("%T: %+v, %v", fsys, file, err)
			}
			if err := file.Close(); err != nil {
				t.Error(err)
			}
			if _, err := open(fsys, "f", func(int64) error { return io.ErrShortBuffer }); err != io.ErrShortBuffer {
				t.Errorf("%T: a wrong size: %v", fsys, err)
			}
			if _, err := open(fsys, "g", nil); err == nil || err.Error() != "there is no g in the bundle" {
				t.Errorf("%T: %v", fsys, err)
			}
		}
	}
	file, _ := Map(inside, "f", func(int64) error { return nil })
	if unsafe.SliceData(file.Data) != unsafe.StringData(text) {
		t.Error("a string was copied")
	}
}
