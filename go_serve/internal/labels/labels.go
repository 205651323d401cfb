// Package labels keeps what a person thinks of a model's answers, in one small JSON file on this computer, which is made when
// the first answer is labelled. The file can be sent to whoever made the model. Knows nothing of models and terminals.
package labels

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"minitron/internal/chat"
	"minitron/internal/home"
)

// Format and Version stand at the beginning of each file (docs/loop.md).
const (
	Format  = "minitron-labels"
	Version = 1
)

// Kinds of a label.
const (
	Good = "good"
	Bad  = "bad"
	Fix  = "fix" // with the answer that the model should have given
)

// maxFileBytes bounds the file: thousands of labels.
const maxFileBytes = 1 << 23

// ErrFull says that a label does not fit into the file any more, ErrNotLabels that the file is of something else.
var (
	ErrFull      = errors.New("there are too many labels; send them, then delete the file")
	ErrNotLabels = errors.New("it holds no labels of this program; move it away")
)

// Model says whose answers are labelled.
type Model struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"` // of its weights, as in config.json
}

// Label is what a person thinks of one answer.
type Label struct {
	Messages []chat.Message `json:"messages"` // the dialogue up to the person's message that was answered
	Answer   string         `json:"answer"`
	Kind     string         `json:"kind"`
	Why      string         `json:"why,omitzero"`
	Fix      string         `json:"fix,omitzero"`
	Time     string         `json:"time"` // UTC, RFC 3339
}

// file is the content of a file of labels.
type file struct {
	Format  string  `json:"format"`
	Version int     `json:"version"`
	Model   Model   `json:"model"`
	Labels  []Label `json:"labels"`
}

// Book is the file with the labels of one model. What other chats write to it meanwhile stays.
type Book struct {
	model Model
	path  string
}

// Open returns the book of a model in the folder of what the program remembers, or nil if it may remember nothing. It makes no
// file.
func Open(model Model) *Book {
	path := home.Path("labels-" + model.SHA256[:min(16, len(model.SHA256))] + ".json")
	if path == "" {
		return nil
	}
	return &Book{model, path}
}

// Path returns where the labels are kept.
func (b *Book) Path() string { return b.path }

// Add keeps a label; it replaces an earlier one of the same answer. It returns how many labels there are then.
func (b *Book) Add(label Label) (count int, err error) {
	if err := os.MkdirAll(filepath.Dir(b.path), 0o700); err != nil {
		return 0, err
	}
	defer home.Lock(b.path)()
	all, err := b.Labels()
	if err != nil {
		return 0, err
	}
	all = slices.DeleteFunc(all, func(other Label) bool {
		return other.Answer == label.Answer && slices.Equal(other.Messages, label.Messages)
	})
	label.Time = time.Now().UTC().Format(time.RFC3339)
	all = append(all, label)
	data := b.encode(all)
	if len(data) > maxFileBytes {
		return 0, ErrFull
	}
	return len(all), home.WriteFile(b.path, data)
}

// Labels returns all labels, oldest first.
func (b *Book) Labels() ([]Label, error) {
	data, err := read(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var kept file
	if err := json.Unmarshal(data, &kept); err != nil || kept.Format != Format || kept.Version != Version {
		return nil, ErrNotLabels
	}
	return kept.Labels, nil
}

// Export returns the content of the file that can be sent.
func (b *Book) Export() ([]byte, error) {
	all, err := b.Labels()
	return b.encode(all), err
}

func (b *Book) encode(all []Label) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	encoder.Encode(file{Format, Version, b.model, all})
	return text.Bytes()
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(data) > maxFileBytes {
		err = ErrFull
	}
	return data, err
}
