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
	"math"

	"minitron/internal/fault"
	"minitron/internal/weights"
)

const (
	hintAgain   = "copy the program again, or export the bundle again"
	hintVersion = "use a program and a bundle that were made by the same version of minitron"
)

// Bundle is an opened bundle. The weights are where they were found, and nothing has looked at them yet: Verify does.
type Bundle struct {
	Config  *Config
	Vocab   *Vocab
	Weights *weights.Set

	vocab, weights *weights.File
}

// The largest files that are parsed, in bytes. What parsing builds is a few times as large at most.
const (
	maxConfigBytes = 4 << 20
	maxVocabBytes  = 128 << 20
)

// Open reads config.json and vocab.json from fsys and checks all that can be checked without reading weights.bin: format,
// version, sizes, the vocabulary's checksum and the table of tensors. weights.bin is used where it is (weights.Strings),
// mapped into memory where the system can, otherwise read.
func Open(fsys fs.FS) (*Bundle, error) {
	config, err := weights.Read(fsys, "config.json", atMost("config.json", maxConfigBytes))
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(config.Data)
	if err == nil {
		err = checkTensors(c)
	}
	if err != nil {
		return nil, unusable("config.json", err)
	}
	b := &Bundle{Config: c}
	if b.vocab, err = weights.Read(fsys, "vocab.json", exactly("vocab.json", c.Vocab.Bytes, maxVocabBytes)); err != nil {
		return nil, err
	}
	if err := b.readVocab(); err != nil {
		return nil, err
	}
	if b.weights, err = weights.Map(fsys, "weights.bin", exactly("weights.bin", c.Weights.Bytes, math.MaxInt64)); err != nil {
		return nil, err
	}
	b.Weights = weights.NewSet(c.Model, c.DType, c.Tensors, b.weights)
	return b, nil
}

// atMost refuses a file that is too large.
func atMost(name string, most int64) func(size int64) error {
	return func(size int64) error {
		if size > most {
			return fault.New(hintAgain, "%s is too large (%d bytes, at most %d are read)", name, size, most)
		}
		return nil
	}
}

// exactly refuses a file that is too large or of another size than config.json says.
func exactly(name string, want, most int64) func(size int64) error {
	return func(size int64) error {
		if err := atMost(name, most)(size); err != nil {
			return err
		}
		if size != want {
			return fault.New(hintAgain, "%s is damaged (it has %d bytes, config.json says %d)", name, size, want)
		}
		return nil
	}
}

func (b *Bundle) readVocab() (err error) {
	if err := checkCRC(b.vocab, b.Config.Vocab); err != nil {
		return err
	}
	if b.Vocab, err = parseVocab(b.vocab.Data, b.Config.Model.VocabSize); err != nil {
		return unusable("vocab.json", err)
	}
	if len(b.Vocab.Pieces) != b.Config.Model.VocabSize {
		return unusable("vocab.json", fmt.Errorf("it has %d pieces, config.json says %d", len(b.Vocab.Pieces), b.Config.Model.VocabSize))
	}
	return nil
}

// Close gives the weights back to the system: no tensor may be used any more.
func (b *Bundle) Close() error { return b.weights.Close() }

// Verify reads all of the weights: are they what the exporter wrote, and is every value one that a model may have? It only
// reads, so it may run beside whatever uses the bundle, but not beside Close.
func (b *Bundle) Verify() (err error) {
	lost := fault.Mapped("weights.bin", func() {
		if err = checkCRC(b.weights, b.Config.Weights); err == nil {
			err = b.Weights.Verify()
		}
	})
	if lost != nil {
		return lost
	}
	return err
}

// VerifySHA256 compares both payloads with the digests of config.json.
func (b *Bundle) VerifySHA256() (err error) {
	if lost := fault.Mapped("weights.bin", func() { err = b.verifySHA256() }); lost != nil {
		return lost
	}
	return err
}

func (b *Bundle) verifySHA256() error {
	if err := checkSHA256(b.weights, b.Config.Weights); err != nil {
		return err
	}
	return checkSHA256(b.vocab, b.Config.Vocab)
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

func checkCRC(file *weights.File, want Payload) error {
	return checkSum(file.Name, fmt.Sprintf("%08x", crc32.ChecksumIEEE(file.Data)), want.CRC32)
}

func checkSHA256(file *weights.File, want Payload) error {
	sum := sha256.Sum256(file.Data)
	return checkSum(file.Name, hex.EncodeToString(sum[:]), want.SHA256)
}

func checkSum(name, got, want string) error {
	if got != want {
		return fault.New(hintAgain, "%s is damaged (its checksum is %s, config.json says %s)", name, got, want)
	}
	return nil
}
