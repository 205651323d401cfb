package repl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"minitron/internal/chat"
	"minitron/internal/edit"
)

// saved is what a file of /save holds.
type saved struct {
	Messages []chat.Message `json:"messages"`
}

// maxSavedBytes bounds what /load reads: far more than any conversation that fits a model.
const maxSavedBytes = 1 << 26

// place is the file that a person names; ~ is their own folder.
func place(name string) string {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return name
}

// why is the reason alone: the file's name is said already.
func why(err error) error {
	if cause := errors.Unwrap(err); cause != nil {
		return cause
	}
	return err
}

func (r *repl) save(name string) {
	if name == "" {
		r.say(r.Lang.NeedsFile, "/save")
		return
	}
	if r.chat.Turns() == 0 {
		r.tell(r.Lang.NothingYet)
		return
	}
	path := place(name)
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	about, err := os.Stat(path)
	switch {
	case err == nil && !about.Mode().IsRegular(): // a folder, or a device, which a rename would replace
		r.say(r.Lang.NoFile, name)
		return
	case err == nil && !r.ask(fmt.Sprintf(r.Lang.Overwrite, name)):
		r.say(r.Lang.NotSaved, name)
		return
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		r.say(r.Lang.CannotWrite, name, why(err))
		return
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	encoder.Encode(saved{r.chat.Messages()})
	if err := edit.WriteFile(path, text.Bytes()); err != nil {
		r.say(r.Lang.CannotWrite, name, why(err))
		return
	}
	r.say(r.Lang.Saved, name, r.chat.Turns())
}

func (r *repl) load(name string) {
	if name == "" {
		r.say(r.Lang.NeedsFile, "/load")
		return
	}
	path := place(name)
	if about, err := os.Stat(path); err == nil && !about.Mode().IsRegular() { // reading a pipe may never end
		r.say(r.Lang.NoFile, name)
		return
	}
	data, err := readSaved(path)
	if err != nil {
		r.say(r.Lang.CannotRead, name, why(err))
		return
	}
	var s saved
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // Windows' editors put that before a text
	if err := json.Unmarshal(data, &s); err != nil || len(s.Messages) == 0 || r.chat.Restore(s.Messages) != nil {
		r.say(r.Lang.NotSavedChat, name)
		return
	}
	r.forgot = false
	r.say(r.Lang.Loaded, name, r.chat.Turns())
}

func readSaved(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSavedBytes+1))
	if err == nil && len(data) > maxSavedBytes {
		err = errors.New("it is larger than 64 MiB")
	}
	return data, err
}
