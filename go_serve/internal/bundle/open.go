package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"math"

	"minitron/internal/fault"
	"minitron/internal/weights"
)

// The largest files that are parsed, in bytes. What parsing builds is a few times as large at most.
const (
	maxConfigBytes = 4 << 20
	maxVocabBytes  = 128 << 20
)

// Open reads config.json and vocab.json from fsys and checks all that can be checked without reading weights.bin: format,
// version, sizes, the vocabulary's checksum and the table of tensors. weights.bin is used in place if fsys is weights.Strings,
// mapped into memory where the system can do that, and otherwise read.
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
	if b.Config.Template == ChatML && len(b.Vocab.Chat.User) == 0 {
		return unusable("vocab.json", errors.New("it has no chat markers, config.json says that the model answers messages"))
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
