package clock

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSince holds that short times are told apart, and that long ones are as long as the system says.
func TestSince(t *testing.T) {
	began, system := Now(), time.Now()
	for Since(began) == 0 {
	}
	if took := time.Since(system); took > time.Millisecond {
		t.Errorf("a step of the clock takes %v", took)
	}
	time.Sleep(50 * time.Millisecond)
	if here, there := Since(began), time.Since(system); here < 40*time.Millisecond || here > there+20*time.Millisecond {
		t.Errorf("%v, by the system's clock %v", here, there)
	}
}

// TestTheOnlyClock: nothing else in the module measures how long something took, but for the age of a file, which is a matter of
// seconds, and in a browser, which has a clock of its own.
func TestTheOnlyClock(t *testing.T) {
	module := os.DirFS("../..")
	var measuring []string
	err := fs.WalkDir(module, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := fs.ReadFile(module, path)
		if strings.Contains(string(source), "time.Since(") {
			measuring = append(measuring, path)
		}
		return err
	})
	if want := []string{"cmd/wasm/yield.go", "internal/clock/clock.go", "internal/home/home.go"}; err != nil || !slices.Equal(measuring, want) {
		t.Errorf("%q, want %q (%v)", measuring, want, err)
	}
}
