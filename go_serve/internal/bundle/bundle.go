// Package bundle reads what `minitron export` writes: config.json, vocab.json and weights.bin (docs/formats.md), from a
// directory or from the files inside the program. It trusts nothing: no size in a header decides an allocation before it
// was compared with the real size of a file. It knows nothing of what the weights compute.
package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"

	"minitron-chat/internal/fault"
)

// The largest files that are read whole into memory, in bytes.
const (
	maxConfigBytes = 16 << 20
	maxVocabBytes  = 256 << 20
)

const (
	hintAgain   = "copy the program again, or export the bundle again"
	hintVersion = "use a program and a bundle that were made by the same version of minitron"
)

// Bundle is an opened, verified bundle. Close it when the weights have been read.
type Bundle struct {
	Config *Config
	Vocab  *Vocab

	weights   io.ReaderAt // weights.bin, Config.Weights.Bytes long
	closer    io.Closer
	vocabSHA  string // of vocab.json, hex
	tensorFor map[string]Tensor
}

// Open reads config.json and vocab.json from fsys and checks all that can be checked: format, version, sizes, checksums
// and the table of tensors. The weights themselves are read by ReadTensor.
func Open(fsys fs.FS) (*Bundle, error) {
	data, err := readSmall(fsys, "config.json", maxConfigBytes)
	if err != nil {
		return nil, err
	}
	b := &Bundle{tensorFor: make(map[string]Tensor)}
	if b.Config, err = parseConfig(data); err != nil {
		return nil, unusable("config.json", err)
	}
	if err := checkTensors(b.Config); err != nil {
		return nil, unusable("config.json", err)
	}
	for _, t := range b.Config.Tensors {
		b.tensorFor[t.Name] = t
	}
	if err := b.openVocab(fsys); err != nil {
		return nil, err
	}
	if err := b.openWeights(fsys); err != nil {
		return nil, err
	}
	return b, nil
}

// Close closes weights.bin.
func (b *Bundle) Close() error { return b.closer.Close() }

func (b *Bundle) openVocab(fsys fs.FS) error {
	want := b.Config.Vocab
	data, err := readSmall(fsys, "vocab.json", maxVocabBytes)
	if err != nil {
		return err
	}
	if err := checkSize("vocab.json", int64(len(data)), want.Bytes); err != nil {
		return err
	}
	if err := checkSum("vocab.json", fmt.Sprintf("%08x", crc32.ChecksumIEEE(data)), want.CRC32); err != nil {
		return err
	}
	if b.Vocab, err = ParseVocab(data); err != nil {
		return unusable("vocab.json", err)
	}
	if len(b.Vocab.Pieces) != b.Config.Model.VocabSize {
		return unusable("vocab.json", fmt.Errorf("it has %d pieces, config.json says %d", len(b.Vocab.Pieces), b.Config.Model.VocabSize))
	}
	sum := sha256.Sum256(data)
	b.vocabSHA = hex.EncodeToString(sum[:])
	return nil
}

func (b *Bundle) openWeights(fsys fs.FS) error {
	file, size, err := open(fsys, "weights.bin")
	if err != nil {
		return err
	}
	reader, ok := file.(io.ReaderAt)
	if !ok {
		panic("bundle: a file system whose files are not io.ReaderAt") // os and embed both are
	}
	b.weights, b.closer = reader, file
	if err := checkSize("weights.bin", size, b.Config.Weights.Bytes); err != nil {
		file.Close()
		return err
	}
	crc := crc32.NewIEEE()
	if err := b.hashWeights(crc); err == nil {
		err = checkSum("weights.bin", fmt.Sprintf("%08x", crc.Sum32()), b.Config.Weights.CRC32)
		if err != nil {
			file.Close()
			return err
		}
	} else {
		file.Close()
		return err
	}
	return nil
}

func (b *Bundle) hashWeights(h hash.Hash) error {
	section := io.NewSectionReader(b.weights, 0, b.Config.Weights.Bytes)
	if _, err := io.CopyBuffer(onlyWriter{h}, section, make([]byte, 1<<20)); err != nil {
		return fault.New(hintAgain, "weights.bin cannot be read: %w", err)
	}
	return nil
}

// onlyWriter hides every other method, so that io.CopyBuffer uses its buffer.
type onlyWriter struct{ io.Writer }

// ReadTensor gives the bytes of a tensor to use, piece by piece and in order; every piece but the last is as long as
// buffer, which the caller lends and use must not keep. The name must be one of Table's.
func (b *Bundle) ReadTensor(name string, buffer []byte, use func(chunk []byte)) error {
	t, ok := b.tensorFor[name]
	if !ok {
		panic("bundle: unknown tensor " + name)
	}
	for done := int64(0); done < t.Bytes; {
		chunk := buffer[:min(int64(len(buffer)), t.Bytes-done)]
		// ReadAt may return io.EOF together with the last full chunk.
		if n, err := b.weights.ReadAt(chunk, t.Offset+done); n < len(chunk) {
			return fault.New(hintAgain, "weights.bin cannot be read: %w", err)
		}
		use(chunk)
		done += int64(len(chunk))
	}
	return nil
}

// VerifySHA256 compares both payloads with the digests of config.json.
func (b *Bundle) VerifySHA256() error {
	digest := sha256.New()
	if err := b.hashWeights(digest); err != nil {
		return err
	}
	sum := hex.EncodeToString(digest.Sum(nil))
	if err := checkSum("weights.bin", sum, b.Config.Weights.SHA256); err != nil {
		return err
	}
	return checkSum("vocab.json", b.vocabSHA, b.Config.Vocab.SHA256)
}

// open opens a regular file and returns its size.
func open(fsys fs.FS, name string) (fs.File, int64, error) {
	// Stat comes first: opening a named pipe would wait for a writer.
	info, err := fs.Stat(fsys, name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, 0, fault.New("name a directory with config.json, vocab.json and weights.bin", "%s is not a regular file", name)
	}
	var file fs.File
	if err == nil {
		file, err = fsys.Open(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fault.New("name a directory with config.json, vocab.json and weights.bin", "there is no %s in the bundle", name)
	}
	if err != nil {
		return nil, 0, fault.New("look at the rights of the file", "%s cannot be read: %w", name, err)
	}
	return file, info.Size(), nil
}

// readSmall reads a whole file of at most limit bytes.
func readSmall(fsys fs.FS, name string, limit int64) ([]byte, error) {
	file, size, err := open(fsys, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if size > limit {
		return nil, fault.New(hintAgain, "%s is too large (%d bytes, at most %d are read)", name, size, limit)
	}
	data, err := io.ReadAll(io.LimitReader(file, limit))
	if err != nil {
		return nil, fault.New("look at the rights of the file", "%s cannot be read: %w", name, err)
	}
	return slices.Clip(data), nil
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

func checkSum(name, got, want string) error {
	if got != want {
		return fault.New(hintAgain, "%s is damaged (its checksum is %s, config.json says %s)", name, got, want)
	}
	return nil
}
