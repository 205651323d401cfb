package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// values returns n random numbers around the scale.
func values(random *rand.Rand, n int, scale float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(random.NormFloat64() * scale)
	}
	return x
}

// mustUse chooses a tier; the function that it returns goes back to the one before.
func mustUse(name string) func() {
	before := active
	if err := Use(name); err != nil {
		panic(fmt.Sprint(err))
	}
	return func() { active = before }
}

// eachTier runs a test for every tier of this processor.
func eachTier(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	forTiers(t, Names(), test)
}

// eachFastTier leaves the scalar tier out, for comparisons with it.
func eachFastTier(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	fast := Names()[:len(tiers)-1]
	if len(fast) == 0 {
		t.Skip("this processor has the scalar tier only")
	}
	forTiers(t, fast, test)
}

func forTiers(t *testing.T, names []string, test func(t *testing.T)) {
	t.Helper()
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			defer mustUse(name)()
			test(t)
		})
	}
}

// sameBits compares bit by bit; any NaN equals any other.
func sameBits(a, b []float32) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d values, want %d", len(a), len(b))
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) && !(a[i] != a[i] && b[i] != b[i]) {
			return fmt.Errorf("value %d is %v (%08x), want %v (%08x)", i, a[i], math.Float32bits(a[i]), b[i], math.Float32bits(b[i]))
		}
	}
	return nil
}

// processorFlags is what /proc/cpuinfo of Linux must list for a tier to be there, the best tier first.
var processorFlags = map[string][]struct{ tier, flags string }{
	"amd64": {
		{"avx512", "avx2 fma f16c avx512f avx512bw avx512vl avx512_vnni"},
		{"avxvnni", "avx2 fma f16c avx_vnni"},
		{"avx2", "avx2 fma f16c"},
		{"sse4", "ssse3 sse4_1"},
	},
	"arm64": {
		{"neon-dot", "asimd asimddp"},
		{"neon", "asimd"},
	},
}

// TestTiersOfThisProcessor compares the tiers that the other tests ran with what Linux says about the processor: one that is
// there and was not found would otherwise go untested without a word. With -v it names those that were not run.
func TestTiersOfThisProcessor(t *testing.T) {
	info, err := os.ReadFile("/proc/cpuinfo")
	line := regexp.MustCompile(`(?m)^(flags|Features)\s*:(.*)$`).FindSubmatch(info)
	if err != nil || line == nil || (string(line[1]) == "flags") != (runtime.GOARCH == "amd64") { // qemu shows its host's
		t.Skip("/proc/cpuinfo does not describe this processor")
	}
	has := strings.Fields(string(line[2]))
	for _, known := range processorFlags[runtime.GOARCH] {
		t.Run(known.tier, func(t *testing.T) {
			want := true
			for _, flag := range strings.Fields(known.flags) {
				want = want && slices.Contains(has, flag)
			}
			if got := slices.Contains(Names(), known.tier); got != want {
				t.Fatalf("the tiers are %v; by /proc/cpuinfo, %s is there: %v", Names(), known.tier, want)
			}
			if !want {
				t.Skip("this processor lacks it: its kernels went untested")
			}
		})
	}
}

func TestUse(t *testing.T) {
	if err := Use("abacus"); err == nil || err.Error() != `there is no kernel "abacus" here` {
		t.Errorf("%v", err)
	}
	if names := Names(); names[len(names)-1] != "scalar" {
		t.Errorf("%v", names)
	}
}
