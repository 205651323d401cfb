package home

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestPath(t *testing.T) {
	settings := t.TempDir()
	t.Setenv("MINITRON_HISTORY", "")
	for _, name := range []string{"XDG_CONFIG_HOME", "HOME", "AppData"} { // whichever this system looks at
		t.Setenv(name, settings)
	}
	path := Path("history")
	if under, err := filepath.Rel(settings, path); err != nil || !filepath.IsLocal(under) || filepath.Base(filepath.Dir(path)) != "minitron-chat" || filepath.Base(path) != "history" {
		t.Errorf("%q is not minitron-chat/history in %q", path, settings)
	}
	t.Setenv("MINITRON_HISTORY", "OFF")
	if path := Path("history"); path != "" {
		t.Errorf("switched off: %q", path)
	}
	t.Setenv("MINITRON_HISTORY", "")
	for _, name := range []string{"XDG_CONFIG_HOME", "HOME", "AppData"} {
		t.Setenv(name, "")
	}
	if path := Path("history"); path != "" {
		t.Errorf("without a folder for settings: %q", path)
	}
}

// holds checks a file's text and, where a system knows such things, its permissions.
func holds(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	data, err := os.ReadFile(path)
	about, statErr := os.Lstat(path)
	if err != nil || statErr != nil || string(data) != text || runtime.GOOS != "windows" && about.Mode() != mode {
		t.Errorf("%s holds %q with %v, want %q with %v; %v, %v", path, data, about.Mode(), text, mode, err, statErr)
	}
}

func TestWriteFile(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := WriteFile(file, []byte("one")); err != nil {
		t.Fatal(err)
	}
	holds(t, file, "one", 0o600)
	os.Chmod(file, 0o644)
	old, _ := os.Open(file)
	defer old.Close()
	if err := WriteFile(file, []byte("two")); err != nil {
		t.Fatal(err)
	}
	holds(t, file, "two", 0o644)
	if was := make([]byte, 3); runtime.GOOS != "windows" {
		if _, err := old.Read(was); err != nil || string(was) != "one" {
			t.Errorf("who has it open reads %q, %v: it was changed in its place", was, err)
		}
	}
	if files, _ := os.ReadDir(folder); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
}

func TestWriteFileKeepsLinksAndDevices(t *testing.T) {
	folder := t.TempDir()
	file, link, device := filepath.Join(folder, "file"), filepath.Join(folder, "link"), filepath.Join(folder, "device")
	os.WriteFile(file, nil, 0o640)
	os.Chmod(file, 0o640)
	if os.Symlink(file, link) != nil || os.Symlink(os.DevNull, device) != nil {
		t.Skip("no links here")
	}
	if err := WriteFile(link, []byte("x")); err != nil {
		t.Error(err)
	}
	holds(t, file, "x", 0o640)
	if about, _ := os.Lstat(link); about.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v", about.Mode())
	}
	for _, path := range []string{folder, device} {
		if err := WriteFile(path, nil); !errors.Is(err, ErrNotRegular) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := WriteFile(filepath.Join(folder, "no", "such"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
	if err := WriteFile(filepath.Join(file, "below"), nil); err == nil {
		t.Error("below a file")
	}
	if files, _ := os.ReadDir(folder); len(files) != 3 {
		t.Errorf("left behind: %v", files)
	}
}

// TestLock has many goroutines each add one to a number that they read before: none is lost, and no lock is left behind.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	var number atomic.Int64
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			defer Lock(path)()
			before := number.Load()
			time.Sleep(time.Millisecond)
			number.Store(before + 1)
		})
	}
	all.Wait()
	if files, _ := os.ReadDir(filepath.Dir(path)); number.Load() != 20 || len(files) > 0 {
		t.Errorf("%d of 20, and left behind: %v", number.Load(), files)
	}
}

// TestLockThatWasLeftBehind is taken over at once, whether it seems to come from the past or from the future; a fresh one is not.
func TestLockThatWasLeftBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	name := path + ".lock"
	for _, age := range []time.Duration{time.Minute, -time.Hour} {
		os.WriteFile(name, nil, 0o600)
		os.Chtimes(name, time.Time{}, time.Now().Add(-age))
		began := time.Now()
		Lock(path)()
		if took := time.Since(began); took > staleLock/2 {
			t.Errorf("waited %v for a lock of %v ago", took, age)
		}
	}
	os.WriteFile(name, nil, 0o600)
	taken := make(chan struct{}, 1)
	go func() { Lock(path)(); taken <- struct{}{} }()
	select {
	case <-taken:
		t.Error("two hold the same lock")
	case <-time.After(50 * time.Millisecond):
	}
	os.Remove(name)
	<-taken
	Lock(filepath.Join(path, "no", "such", "folder"))() // goes without
	os.MkdirAll(filepath.Join(name, "full"), 0o700)     // cannot be removed, as nothing can be in a folder that cannot be written
	os.Chtimes(name, time.Time{}, time.Now().Add(-time.Minute))
	go func() { Lock(path)(); taken <- struct{}{} }()
	select {
	case <-taken:
	case <-time.After(time.Second):
		t.Error("waits without end for a lock that cannot be removed")
	}
}
