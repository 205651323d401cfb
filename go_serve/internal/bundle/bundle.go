// Package bundle reads what `minitron export` writes: config.json, vocab.json and weights.bin (docs/formats.md), from a
// directory or from inside the program. It trusts nothing: no size in a header decides an allocation before it was
// compared with the real size of a file. It knows nothing of what the weights compute.
package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"

	"minitron/internal/fault"
	"minitron/internal/weights"
)

const (
	hintAgain   = "copy the program again, or export the bundle again"
	hintVersion = "use a program and a bundle that were made by the same version of minitron"
)

// Bundle is an opened model. The weights stay where they were found, and are unchecked until Verify is called. Open makes a
// Bundle from the three files; a reader of another format would be a file beside open.go that makes one from what it finds.
type Bundle struct {
	Config  *Config
	Vocab   *Vocab
	Weights *weights.Set

	vocab, weights *weights.File
}

// Close gives the weights back to the system: no tensor may be used any more.
func (b *Bundle) Close() error { return b.weights.Close() }

// Verify reads all of the weights, and checks that they are what the exporter wrote and that every value is one that a model
// may have. It only reads, so it may run beside whatever uses the bundle, but not beside Close.
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
