package edit

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"

	"minitron/internal/home"
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
		os.MkdirAll(filepath.Dir(h.path), 0o700)
		defer home.Lock(h.path)()
		h.write(bounded(readHistory(h.path), entry))
	}
}

// bounded returns entries with more at their end, none of them twice in a row, and only the newest that the bounds allow.
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

func (h *History) write(entries []string) {
	var text strings.Builder
	for _, entry := range entries {
		text.WriteString(escapes.Replace(entry))
		text.WriteByte('\n')
	}
	home.WriteFile(h.path, []byte(text.String()))
}
