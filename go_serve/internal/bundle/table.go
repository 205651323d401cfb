package bundle

import (
	"fmt"
	"slices"

	"minitron/internal/weights"
)

// alignment is what the offset of a tensor in weights.bin must be a multiple of, in bytes.
const alignment = 64

// checkTensors compares the table of config.json with the shape and with the size of weights.bin. Once it returns nil,
// every offset and size in the table can be trusted.
func checkTensors(c *Config) error {
	table := weights.Table(c.Model, c.DType)
	expected := make(map[string]weights.Tensor)
	for _, t := range table {
		expected[t.Name] = t
	}
	var end int64 // where the tensor before ended, in bytes
	for _, t := range c.Tensors {
		want, ok := expected[t.Name]
		if !ok {
			return fmt.Errorf("its table of tensors has %.100q, which a %s of this shape does not have or has once", t.Name, c.Model.Arch)
		}
		delete(expected, t.Name)
		switch {
		case len(t.Shape) != len(want.Shape):
			return fmt.Errorf("tensor %q has %d dimensions, it must have %d", t.Name, len(t.Shape), len(want.Shape))
		case !slices.Equal(t.Shape, want.Shape):
			return fmt.Errorf("tensor %q has the shape %v, it must be %v", t.Name, t.Shape, want.Shape)
		case t.DType != want.DType:
			return fmt.Errorf("tensor %q is %.100q, it must be %q", t.Name, t.DType, want.DType)
		case t.Bytes != want.Bytes:
			return fmt.Errorf("tensor %q has %d bytes, it must have %d", t.Name, t.Bytes, want.Bytes)
		case t.Offset != (end+alignment-1)/alignment*alignment:
			return fmt.Errorf("tensor %q begins at byte %d, it must begin at the next multiple of %d after byte %d", t.Name, t.Offset, alignment, end)
		case t.Bytes > c.Weights.Bytes-t.Offset:
			return fmt.Errorf("tensor %q ends past the end of weights.bin", t.Name)
		}
		end = t.Offset + t.Bytes
	}
	for _, t := range table {
		if _, missing := expected[t.Name]; missing {
			return fmt.Errorf("its table of tensors lacks %q", t.Name)
		}
	}
	if end != c.Weights.Bytes {
		return fmt.Errorf("its table of tensors ends at byte %d, weights.bin at byte %d", end, c.Weights.Bytes)
	}
	if params := weights.Params(c.Model); c.Params != params {
		return fmt.Errorf("it says %d parameters, its shape has %d", c.Params, params)
	}
	return nil
}
