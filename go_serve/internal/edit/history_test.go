package edit

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"minitron/internal/term"
)

func TestHistorySurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "minitron-chat", "history")
	h := OpenHistory(path)
	for _, entry := range []string{"one", "two\nlines \\n \\", "two\nlines \\n \\", "  ", "one", "日本 👩‍👩‍👧"} {
		h.Add(entry)
	}
	want := []string{"one", "two\nlines \\n \\", "one", "日本 👩‍👩‍👧"}
	if got := OpenHistory(path).Entries(); !slices.Equal(got, want) || !slices.Equal(h.Entries(), want) {
		t.Errorf("got %q and %q, want %q", got, h.Entries(), want)
	}
	about, err := os.Stat(path)
	if err != nil || runtime.GOOS != "windows" && about.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", about.Mode(), err)
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	var text strings.Builder
	for i := range 1500 {
		fmt.Fprintf(&text, "entry %d\n", i)
	}
	os.WriteFile(path, []byte(text.String()), 0o644)
	h := OpenHistory(path)
	h.Add("newest")
	h.Add(strings.Repeat("x", maxEntryBytes+1)) // too long to be kept
	again := OpenHistory(path).Entries()
	if len(again) != maxEntries || again[0] != "entry 501" || again[maxEntries-1] != "newest" || !slices.Equal(again, h.Entries()) {
		t.Errorf("%d entries, from %q to %q", len(again), again[0], again[len(again)-1])
	}
	text.Reset()
	for i := range 80 {
		fmt.Fprintln(&text, i, strings.Repeat("x", 60_000))
	}
	os.WriteFile(path, []byte(text.String()), 0o644)
	h.Add("newest")
	if about, _ := os.Stat(path); about.Size() > maxFileBytes {
		t.Errorf("the file has %d bytes", about.Size())
	}
}

// TestTwoChats write to one file, in turn and at the same time.
func TestTwoChats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	a, b := OpenHistory(path), OpenHistory(path)
	a.Add("a")
	b.Add("b")
	a.Add("c")
	if got := OpenHistory(path).Entries(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("the file holds %q", got)
	}
	if !slices.Equal(a.Entries(), []string{"a", "c"}) {
		t.Errorf("a chat sees %q", a.Entries())
	}
	var both sync.WaitGroup
	for _, h := range []*History{a, b} {
		both.Go(func() {
			for n := range 50 {
				h.Add(fmt.Sprintf("%p %d", h, n))
			}
		})
	}
	both.Wait()
	if got := OpenHistory(path).Entries(); len(got) != 3+100 {
		t.Errorf("the file holds %d entries of %d", len(got), 3+100)
	}
}

// TestBrokenHistory is never an error, and holds nothing that could steer a terminal.
func TestBrokenHistory(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "history")
	os.WriteFile(path, []byte("a\x1b[31m\x00\xff\u202eb\r\n\n\\q\\"), 0o600)
	if got, want := OpenHistory(path).Entries(), []string{"a[31m\ufffdb", `\q\`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, h := range []*History{nil, OpenHistory(""), OpenHistory(folder), OpenHistory(filepath.Join(path, "below", "a file"))} {
		h.Add("x")
		if h != nil && !slices.Equal(h.Entries(), []string{"x"}) {
			t.Errorf("%q", h.Entries())
		}
	}
}

func TestHistoryBehindALink(t *testing.T) {
	folder := t.TempDir()
	real, link, device := filepath.Join(folder, "real"), filepath.Join(folder, "link"), filepath.Join(folder, "device")
	os.WriteFile(real, nil, 0o600)
	if os.Symlink(real, link) != nil || os.Symlink(os.DevNull, device) != nil {
		t.Skip("no links here")
	}
	OpenHistory(link).Add("x")
	OpenHistory(device).Add("x")
	if got := OpenHistory(real).Entries(); !slices.Equal(got, []string{"x"}) {
		t.Errorf("%q", got)
	}
	if about, err := os.Stat(os.DevNull); err != nil || about.Mode().IsRegular() {
		t.Errorf("%s is %v", os.DevNull, about.Mode())
	}
}

// FuzzHistory opens any file and adds any entry: the next chat finds the same entries as this one, and none steers a terminal.
func FuzzHistory(f *testing.F) {
	for _, file := range []string{"", "one\ntwo\n", "a\\nb\\\\n\\\r\n", "\xff\x00\x1b[2J\u202e\n \n\n\n", strings.Repeat("x\n\n", 700)} {
		f.Add([]byte(file), "new")
		f.Add([]byte(file), "two\nlines\\n\r\t\x07")
	}
	path := filepath.Join(f.TempDir(), "history")
	f.Fuzz(func(t *testing.T, file []byte, entry string) {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		h := OpenHistory(path)
		before := h.Entries()
		entry = string(clean(entry)) // as the editor gives it
		h.Add(entry)
		if !slices.Equal(h.Entries(), OpenHistory(path).Entries()) {
			t.Fatalf("%q and %q: %q here, %q in the file", file, entry, h.Entries(), OpenHistory(path).Entries())
		}
		want := before
		if strings.TrimSpace(entry) != "" && len(entry) <= maxEntryBytes {
			want = bounded(before, entry)
		}
		if !slices.Equal(h.Entries(), want) {
			t.Fatalf("%q and %q: %q, want %q", file, entry, h.Entries(), want)
		}
		for _, e := range h.Entries() {
			if !utf8.ValidString(e) || strings.ContainsFunc(e, term.Steers) {
				t.Fatalf("%q holds %q", file, e)
			}
		}
	})
}
