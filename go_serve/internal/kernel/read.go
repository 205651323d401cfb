package kernel

import (
	"encoding/binary"
	"runtime"
)

// readScalar reads all of data, whose length is a multiple of 256.
func readScalar(data []byte) {
	var sum uint64
	for ; len(data) >= 32; data = data[32:] {
		sum += binary.LittleEndian.Uint64(data) ^ binary.LittleEndian.Uint64(data[8:]) ^
			binary.LittleEndian.Uint64(data[16:]) ^ binary.LittleEndian.Uint64(data[24:])
	}
	runtime.KeepAlive(sum)
}
