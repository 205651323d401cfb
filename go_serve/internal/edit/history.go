package edit

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Bounds of the history, in memory and in its file.
const (
	maxEntries    = 1000
	maxEntryBytes = 1 << 16 // a longer message is not remembered
	maxFileBytes  = 1 << 22
)

// History holds what was sent before, oldest first. Nothing that goes wrong with its file is an error: chatting is more
// important. A nil History remembers nothing.
type History struct {
	path    string // "" keeps it in memory only
	entries []string
}

// OpenHistory reads the history in a file, which need not exist.
func OpenHistory(path string) *History {
	h := &History{path: path}
	h.entries = readHistory(path)
	return h
}

// HistoryPath returns where the history is kept: in the person's folder for settings, or "" with MINITRON_HISTORY=off and
// where there is no such folder.
func HistoryPath() string {
	folder, err := os.UserConfigDir()
	if err != nil || strings.EqualFold(os.Getenv("MINITRON_HISTORY"), "off") {
		return ""
	}
	return filepath.Join(folder, "minitron-chat", "history")
}

// Entries returns all entries.
func (h *History) Entries() []string {
	if h == nil {
		return nil
	}
	return h.entries
}

// Add remembers an entry, here and in the file. What other chats have written there meanwhile stays.
func (h *History) Add(entry string) {
	if h == nil || strings.TrimSpace(entry) == "" || len(entry) > maxEntryBytes {
		return
	}
	h.entries = bounded(h.entries, entry)
	if h.path != "" {
		h.write(bounded(readHistory(h.path), entry))
	}
}

// bounded returns entries with one more at the end, none twice in a row, and only the newest that may be kept.
func bounded(entries []string, more ...string) []string {
	var kept []string
	for _, entry := range append(entries[:len(entries):len(entries)], more...) {
		if len(kept) == 0 || kept[len(kept)-1] != entry {
			kept = append(kept, entry)
		}
	}
	size, first := 0, len(kept)
	for first > 0 && len(kept)-first < maxEntries {
		if size += 2*len(kept[first-1]) + 1; size > maxFileBytes { // at worst every byte is escaped
			break
		}
		first--
	}
	return kept[first:]
}

// In the file an entry is a line; its newlines are \n and its backslashes \\.
var (
	escapes   = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	unescapes = strings.NewReplacer(`\\`, `\`, `\n`, "\n")
)

func readHistory(path string) []string {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	if about, err := file.Stat(); err != nil || !about.Mode().IsRegular() {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(file, 2*maxFileBytes))
	if err != nil {
		return nil
	}
	var entries []string
	for line := range bytes.Lines(data) {
		entry := string(clean(unescapes.Replace(strings.TrimRight(string(line), "\r\n"))))
		if strings.TrimSpace(entry) != "" && len(entry) <= maxEntryBytes {
			entries = append(entries, entry)
		}
	}
	return bounded(entries)
}

// write replaces the file by rename, so that no reader and no crash ever sees half of it.
func (h *History) write(entries []string) {
	path := h.path
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // a link to another place stays one
	}
	if about, err := os.Stat(path); err == nil && !about.Mode().IsRegular() || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return // /dev/null, say
	}
	var text strings.Builder
	for _, entry := range entries {
		text.WriteString(escapes.Replace(entry))
		text.WriteByte('\n')
	}
	os.MkdirAll(filepath.Dir(path), 0o700)
	WriteFile(path, []byte(text.String()))
}

// WriteFile writes a private file under another name first and renames it.
func WriteFile(path string, data []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".minitron-*") // only its owner can read it
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err
}
