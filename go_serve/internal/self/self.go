// Package self lets the program check its own file before it does anything else. A program that a messenger, a cable or a disk
// has damaged says so in a sentence, rather than crashing or talking nonsense. `minitron binary` puts a checksum into the
// program (docs/formats.md, "The seal"); a program built by hand has none and is not checked. It knows nothing of models.
package self

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"minitron/internal/fault"
	"minitron/internal/lang"
)

// The layout of the seal in the file, in bytes.
const (
	holesAt   = 24           // after the name (16 bytes) and the size of the file (8)
	maxHoles  = 4            // offset and length, 8 bytes each
	sumAt     = holesAt + 64 // CRC-32
	sealBytes = sumAt + 8
)

// seal is filled in after linking, by a step that finds it by its first 16 bytes. It is a variable, whose value might change,
// so that the compiler does not fold it into code. Only this package may read it, and these bytes must not occur twice in a
// program.
var seal = [sealBytes]byte{'\n', 'm', 'i', 'n', 'i', 't', 'r', 'o', 'n', ' ', 's', 'e', 'a', 'l', '\n', 0}

// hole is a part of the file that the checksum does not cover.
type hole struct{ offset, length int64 }

// Check compares the program's file with its seal. The weights are left out: they have a checksum of their own, which is
// verified while the person reads the greeting. If the file cannot be read (a program may be executable but not readable),
// nothing is compared and there is no error.
func Check() error {
	if seal == fresh() {
		return nil
	}
	path, err := os.Executable()
	if err != nil {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	return check(file, seal)
}

// fresh returns a seal that was not filled in.
func fresh() (empty [sealBytes]byte) {
	copy(empty[:16], seal[:16])
	return empty
}

func check(file io.ReaderAt, seal [sealBytes]byte) error {
	size, holes, err := parse(seal)
	if err != nil {
		return damaged(err)
	}
	sum, err := checksum(file, size, holes)
	if err == io.EOF {
		return damaged(errors.New(lang.Detect().FileShort))
	}
	if err != nil {
		return damaged(err)
	}
	if want := binary.LittleEndian.Uint32(seal[sumAt:]); sum != want {
		return damaged(fmt.Errorf(lang.Detect().FileChecksum, sum, want))
	}
	return nil
}

// parse reads from a seal the size of the file, and the parts that the checksum does not cover.
func parse(seal [sealBytes]byte) (size int64, holes []hole, err error) {
	size = int64(binary.LittleEndian.Uint64(seal[16:]))
	at := int64(0)
	for i := range maxHoles {
		part := seal[holesAt+16*i:]
		h := hole{int64(binary.LittleEndian.Uint64(part)), int64(binary.LittleEndian.Uint64(part[8:]))}
		if h.length == 0 {
			continue
		}
		if h.offset < at || h.length < 0 || h.length > size-h.offset {
			return 0, nil, errors.New(lang.Detect().FileSeal)
		}
		holes, at = append(holes, h), h.offset+h.length
	}
	return size, holes, nil
}

// checksum returns the CRC-32 of the first size bytes of a file without its holes. The file is read in pieces: mapped, it would
// count as memory of the program. If the file is shorter, the error is io.EOF.
func checksum(file io.ReaderAt, size int64, holes []hole) (sum uint32, err error) {
	if size > 0 { // the end is read first: most damaged files lack their end
		if _, err := file.ReadAt(make([]byte, 1), size-1); err != nil {
			return 0, err
		}
	}
	buffer := make([]byte, 128<<10)
	at := int64(0)
	for _, h := range append(holes, hole{size, 0}) {
		for at < h.offset {
			piece := buffer[:min(int64(len(buffer)), h.offset-at)]
			if _, err := file.ReadAt(piece, at); err != nil {
				return 0, err
			}
			sum = crc32.Update(sum, crc32.IEEETable, piece)
			at += int64(len(piece))
		}
		at = h.offset + h.length
	}
	return sum, nil
}

func damaged(why error) error {
	s := lang.Detect()
	return fault.New(s.FileDamagedHint, s.FileDamaged, why)
}
