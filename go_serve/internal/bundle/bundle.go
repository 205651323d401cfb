// Package bundle reads what `minitron export` writes: config.json, vocab.json and weights.bin (docs/formats.md), from a
// directory or from inside the program. It trusts nothing: no size in a header decides an allocation before it was
// compared with the real size of a file. It knows nothing of what the weights compute.
package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io/fs"
	"unsafe"

	"minitron/internal/fault"
)

const (
	hintAgain   = "copy the program again, or export the bundle again"
	hintVersion = "use a program and a bundle that were made by the same version of minitron"
)

// Bundle is an opened bundle. The weights are where they were found, and nothing has looked at them yet: Verify does.
type Bundle struct {
	Config *Config
	Vocab  *Vocab

	vocab   []byte // vocab.json
	weights []byte // weights.bin; never written to, its pages may be read-only
	release func() error
	tensors map[string]Tensor
}

// Open reads config.json and vocab.json from fsys and checks all that can be checked without reading weights.bin: format,
// version, sizes, the vocabulary's checksum and the table of tensors. weights.bin is mapped into memory where the system
// can, otherwise read.
func Open(fsys fs.FS) (*Bundle, error) {
	config, err := readSmall(fsys, "config.json", -1)
	if err != nil {
		return nil, err
	}
	b, err := begin(config)
	if err != nil {
		return nil, err
	}
	vocab, err := readSmall(fsys, "vocab.json", b.Config.Vocab.Bytes)
	if err != nil {
		return nil, err
	}
	if err := b.setVocab(vocab); err != nil {
		return nil, err
	}
	b.weights, b.release, err = readLarge(fsys, "weights.bin", b.Config.Weights.Bytes)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// OpenEmbedded is Open for files that lie inside the program. Nothing is copied: the weights are used in the read-only
// pages of the executable, of which the system fetches those that are touched. A write to them would end the program.
func OpenEmbedded(config, vocab, weights string) (*Bundle, error) {
	b, err := begin(inPlace(config))
	if err != nil {
		return nil, err
	}
	if err := b.setVocab(inPlace(vocab)); err != nil {
		return nil, err
	}
	if err := checkSize("weights.bin", int64(len(weights)), b.Config.Weights.Bytes); err != nil {
		return nil, err
	}
	b.weights, b.release = inPlace(weights), func() error { return nil }
	return b, nil
}

// inPlace returns the bytes of a string where they are, to be read only.
func inPlace(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// begin makes a bundle from config.json.
func begin(config []byte) (*Bundle, error) {
	c, err := parseConfig(config)
	if err == nil {
		err = checkTensors(c)
	}
	if err != nil {
		return nil, unusable("config.json", err)
	}
	b := &Bundle{Config: c, tensors: make(map[string]Tensor)}
	for _, t := range c.Tensors {
		b.tensors[t.Name] = t
	}
	return b, nil
}

func (b *Bundle) setVocab(data []byte) (err error) {
	want := b.Config.Vocab
	if err := checkSize("vocab.json", int64(len(data)), want.Bytes); err != nil {
		return err
	}
	if err := checkCRC("vocab.json", data, want); err != nil {
		return err
	}
	b.vocab = data
	if b.Vocab, err = parseVocab(data, b.Config.Model.VocabSize); err != nil {
		return unusable("vocab.json", err)
	}
	if len(b.Vocab.Pieces) != b.Config.Model.VocabSize {
		return unusable("vocab.json", fmt.Errorf("it has %d pieces, config.json says %d", len(b.Vocab.Pieces), b.Config.Model.VocabSize))
	}
	return nil
}

// Close gives the weights back to the system: no tensor may be used any more.
func (b *Bundle) Close() error { return b.release() }

// Tensor returns the bytes of a tensor where they lie, beginning at a multiple of 64 bytes from the start of weights.bin;
// they must not be written to. The name must be one of Table's.
func (b *Bundle) Tensor(name string) []byte {
	t, ok := b.tensors[name]
	if !ok {
		panic("bundle: unknown tensor " + name)
	}
	return b.weights[t.Offset : t.Offset+t.Bytes : t.Offset+t.Bytes]
}

// VerifySHA256 compares both payloads with the digests of config.json.
func (b *Bundle) VerifySHA256() (err error) {
	if lost := fault.Mapped("weights.bin", func() { err = b.verifySHA256() }); lost != nil {
		return lost
	}
	return err
}

func (b *Bundle) verifySHA256() error {
	for _, payload := range []struct {
		name string
		data []byte
		want string
	}{
		{"weights.bin", b.weights, b.Config.Weights.SHA256},
		{"vocab.json", b.vocab, b.Config.Vocab.SHA256},
	} {
		sum := sha256.Sum256(payload.data)
		if err := checkSum(payload.name, hex.EncodeToString(sum[:]), payload.want); err != nil {
			return err
		}
	}
	return nil
}

func unusable(name string, err error) error {
	if fault.Hint(err) != "" {
		return err
	}
	return fault.New(hintAgain, "%s is not usable: %w", name, err)
}

func versionError(version int64) error {
	return fault.New(hintVersion, "this bundle has format version %d, this program reads version %d", version, Version)
}

func checkSize(name string, got, want int64) error {
	if got != want {
		return fault.New(hintAgain, "%s is damaged (it has %d bytes, config.json says %d)", name, got, want)
	}
	return nil
}

func checkCRC(name string, data []byte, want Payload) error {
	return checkSum(name, fmt.Sprintf("%08x", crc32.ChecksumIEEE(data)), want.CRC32)
}

func checkSum(name, got, want string) error {
	if got != want {
		return fault.New(hintAgain, "%s is damaged (its checksum is %s, config.json says %s)", name, got, want)
	}
	return nil
}
