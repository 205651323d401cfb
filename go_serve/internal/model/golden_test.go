package model

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"math"
	"os"
	"testing"

	"minitron/internal/kernel"
)

var update = flag.Bool("update", false, "write testdata/golden.json anew, with the scalar kernels")

// golden is what a random model's logits are, bit by bit, after 1, 2, 40 and 60 ids: float32, little-endian.
type golden struct {
	First  string `json:"first"`  // the first eight of each, in hex
	SHA256 string `json:"sha256"` // of all
}

func goldenOf(t *testing.T, m *Model) golden {
	t.Helper()
	var g golden
	hash := sha256.New()
	st, ids := m.NewState(kernel.NewPool(1)), someIDs(60, m.shape.VocabSize)
	for _, n := range []int{1, 2, 40, 60} { // one token at a time and in blocks
		var bits []byte
		for _, v := range logits(t, st, ids[:n]) {
			bits = binary.LittleEndian.AppendUint32(bits, math.Float32bits(v))
		}
		hash.Write(bits)
		g.First += hex.EncodeToString(bits[:4*8])
	}
	g.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return g
}

// TestGolden compares the logits of q8 and q4 with those that another processor computed: the same bits, with every tier.
// After a change to the arithmetic: go test ./internal/model -run TestGolden -update
func TestGolden(t *testing.T) {
	const path = "testdata/golden.json"
	models, want := make(map[string]*Model), make(map[string]golden)
	for _, arch := range []string{"llama", "nanogpt", "stream"} {
		for _, dtype := range []kernel.DType{kernel.Q8, kernel.Q4} {
			models[arch+"/"+string(dtype)] = wide(arch, dtype)
		}
	}
	if *update {
		defer kernel.Use(kernel.Name())
		kernel.Use("scalar")
		for name, m := range models {
			want[name] = goldenOf(t, m)
		}
		data, err := json.MarshalIndent(want, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	for name, m := range models {
		t.Run(name, func(t *testing.T) {
			eachTier(t, func(t *testing.T) {
				if got := goldenOf(t, m); got != want[name] {
					t.Errorf("got %+v\nwant %+v", got, want[name])
				}
			})
		})
	}
}
