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
	"regexp"
	"strings"

	"minitron/internal/chat"
	"minitron/internal/home"
	"minitron/internal/labels"
)

// saved is the content of a file that /save writes.
type saved struct {
	Messages []chat.Message `json:"messages"`
}

// maxSavedBytes bounds what /load reads: far more than any conversation that fits a model.
const maxSavedBytes = 1 << 26

// escaped matches a backslash and a character that shells escape so, as terminals do when a file is dropped on them.
var escaped = regexp.MustCompile(`\\([^\pL\pN])`)

// fileName returns the file name that a person means by what they typed. Terminals and Windows' "Copy as path" put quotes
// around a name, or backslashes before its spaces. A file with exactly the typed name takes precedence.
func fileName(typed string) string {
	if _, err := os.Lstat(expandHome(typed)); err == nil {
		return typed
	}
	if n := len(typed); n > 2 && (typed[0] == '"' || typed[0] == '\'') && typed[n-1] == typed[0] {
		return typed[1 : n-1]
	}
	if filepath.Separator == '\\' {
		return typed
	}
	return escaped.ReplaceAllString(typed, "$1")
}

// expandHome replaces a ~ at the beginning by the person's home folder.
func expandHome(name string) string {
	if rest, ok := strings.CutPrefix(name, "~"); ok && (rest == "" || os.IsPathSeparator(rest[0])) {
		if folder, err := os.UserHomeDir(); err == nil {
			return filepath.Join(folder, rest)
		}
	}
	return name
}

// errTooLarge says that a file is no conversation, as it has more than maxSavedBytes.
var errTooLarge = errors.New("it is too large")

// cause returns the reason of an error alone, to stand at the end of a sentence: the sentence names the file already, and
// Windows' reasons end with a full stop. The system's reasons stay in its own words.
func (r *repl) cause(err error) string {
	switch {
	case errors.Is(err, home.ErrNotRegular):
		return r.Lang.NotRegular
	case errors.Is(err, errTooLarge):
		return fmt.Sprintf(r.Lang.TooLarge, maxSavedBytes>>20)
	case errors.Is(err, labels.ErrNotLabels):
		return r.Lang.NotLabels
	case errors.Is(err, labels.ErrFull):
		return r.Lang.TooManyLabels
	}
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return strings.TrimSuffix(err.Error(), ".")
}

func (r *repl) save(typed string) {
	if typed == "" {
		r.say(r.Lang.NeedsFile, "/save")
		return
	}
	if r.chat.Turns() == 0 {
		r.tell(r.Lang.NothingYet)
		return
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	encoder.Encode(saved{r.chat.Messages()})
	if name, ok := r.write(typed, text.Bytes()); ok {
		r.say(r.Lang.Saved, name, r.chat.Turns())
	}
}

// write writes data to a file that a person has named, and asks before it replaces one. It returns the name that they meant; if
// nothing was written, it tells why, and ok is false.
func (r *repl) write(typed string, data []byte) (name string, ok bool) {
	name = fileName(typed)
	path := expandHome(name)
	there, err := os.Stat(path)
	switch {
	case err == nil && !there.Mode().IsRegular(): // checked before the person is asked whether to replace it
		r.say(r.Lang.NoFile, name)
		return name, false
	case err == nil && !r.ask(fmt.Sprintf(r.Lang.Overwrite, name)):
		r.say(r.Lang.NotSaved, name)
		return name, false
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		r.say(r.Lang.CannotWrite, name, r.cause(err))
		return name, false
	}
	if err := home.WriteFile(path, data); err != nil {
		r.say(r.Lang.CannotWrite, name, r.cause(err))
		return name, false
	}
	return name, true
}

func (r *repl) load(typed string) {
	if typed == "" {
		r.say(r.Lang.NeedsFile, "/load")
		return
	}
	name := fileName(typed)
	path := expandHome(name)
	if about, err := os.Stat(path); err == nil && !about.Mode().IsRegular() { // reading a pipe may never end
		r.say(r.Lang.NoFile, name)
		return
	}
	data, err := readSaved(path)
	if err != nil {
		r.say(r.Lang.CannotRead, name, r.cause(err))
		return
	}
	var s saved
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // the byte order mark that Windows' editors put before a text
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
		err = errTooLarge
	}
	return data, err
}
