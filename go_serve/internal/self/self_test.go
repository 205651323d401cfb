package self

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
)

// sealed returns a file of n bytes and its seal, which leaves out the holes.
func sealed(n int, holes ...hole) ([]byte, [sealBytes]byte) {
	file := make([]byte, n)
	for i := range file {
		file[i] = byte(i * 7 >> 3)
	}
	s := seal
	binary.LittleEndian.PutUint64(s[16:], uint64(n))
	left := []byte{}
	at := int64(0)
	for i, h := range holes {
		binary.LittleEndian.PutUint64(s[holesAt+16*i:], uint64(h.offset))
		binary.LittleEndian.PutUint64(s[holesAt+16*i+8:], uint64(h.length))
		left = append(left, file[at:h.offset]...)
		at = h.offset + h.length
	}
	left = append(left, file[at:]...)
	binary.LittleEndian.PutUint32(s[sumAt:], crc32.ChecksumIEEE(left))
	return file, s
}

func TestAFileIsWhatItsSealSays(t *testing.T) {
	t.Setenv("LC_ALL", "C")
	hole1, hole2 := hole{10, 5}, hole{200_000, 300_000}
	file, s := sealed(700_001, hole1, hole2)
	if err := check(bytes.NewReader(file), s); err != nil {
		t.Fatal(err)
	}
	if err := check(bytes.NewReader(append(file, "a signature"...)), s); err != nil {
		t.Errorf("something behind the file: %v", err)
	}
	for _, at := range []int{0, 9, 15, 131_071, 131_072, 199_999, 500_000, 700_000} {
		file[at] ^= 1
		if err := check(bytes.NewReader(file), s); err == nil || !strings.HasPrefix(err.Error(), "this program's file is damaged (its checksum is ") {
			t.Errorf("byte %d was changed: %v", at, err)
		}
		file[at] ^= 1
	}
	for _, at := range []int{10, 14, 200_000, 499_999} {
		file[at] ^= 1
		if err := check(bytes.NewReader(file), s); err != nil {
			t.Errorf("byte %d is left out: %v", at, err)
		}
		file[at] ^= 1
	}
	for _, n := range []int{0, 1, 12, 300_000, 700_000} {
		const want = "this program's file is damaged (its end is missing)"
		if err := check(bytes.NewReader(file[:n]), s); err == nil || err.Error() != want {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

// TestAnyBitOfTheSeal holds that a damaged seal never passes for a sound one. As in a program, it lies inside the file, and
// of it only the checksum is left out.
func TestAnyBitOfTheSeal(t *testing.T) {
	const at = 1000
	holes := []hole{{at + sumAt, 4}, {4000, 500}}
	file, s := sealed(5000, holes...)
	copy(file[at:], s[:])
	sum, err := checksum(bytes.NewReader(file), 5000, holes)
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint32(s[sumAt:], sum)
	if err := check(bytes.NewReader(file), s); err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * (sumAt + 4) {
		broken := s
		broken[bit/8] ^= 1 << (bit % 8)
		copy(file[at:], broken[:])
		if check(bytes.NewReader(file), broken) == nil {
			t.Errorf("bit %d of the seal was changed, and nobody saw it", bit)
		}
	}
}

func TestAProgramWithoutASealIsNotChecked(t *testing.T) {
	if err := Check(); err != nil {
		t.Error(err)
	}
}
