package kernel

import (
	"encoding/binary"
	"os"
)

// hasDot reports whether the processor has SDOT. Linux says so in the auxiliary vector (getauxval(3)): pairs of a key and a
// value. If that cannot be read, the answer is no.
func hasDot() bool {
	const hwcap, asimdDP = 16, 1 << 20
	vector, _ := os.ReadFile("/proc/self/auxv")
	for ; len(vector) >= 16; vector = vector[16:] {
		if binary.LittleEndian.Uint64(vector) == hwcap {
			return binary.LittleEndian.Uint64(vector[8:])&asimdDP != 0
		}
	}
	return false
}
