package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"minitron"
	"minitron/internal/clock"
	"minitron/internal/kernel"
	"minitron/internal/sample"
)

// measured is what `bench --json` prints; the speeds are medians over the repeats.
type measured struct {
	Kernel     string  `json:"kernel"`
	Threads    int     `json:"threads"`
	PrefillTPS float64 `json:"prefill_tps"` // tokens read per second
	DecodeTPS  float64 `json:"decode_tps"`  // tokens written per second
	LoadMS     float64 `json:"load_ms"`
	RSSMB      float64 `json:"rss_mb"` // memory in use at the end, MiB
	Params     int64   `json:"params"`
	DType      string  `json:"dtype"`
	ReadGBPS   float64 `json:"read_gbps,omitzero"` // with --bandwidth: GB of memory that the same threads read per second
}

// bench measures the speed of reading a prompt and of writing an answer. Each repeat starts from an empty cache.
func bench(o *options, stdout io.Writer) error {
	began := clock.Now()
	m, err := openModel(o)
	if err != nil {
		return err
	}
	loadTime := clock.Since(began) // the time until a chat would show its prompt
	session, err := m.NewSession()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	// Counts that do not fit into the context are reduced: the answer to half of it (at least one token, as a context has at
	// least two), the prompt to what remains.
	info := m.Info()
	gen := min(o.benchGen, info.Context/2)
	prompt := min(o.benchPrompt, info.Context-gen)
	var prefill, decode []float64
	for range o.benchRepeat {
		p, d, err := timeOnce(ctx, info.VocabSize, session, prompt, gen)
		if err != nil {
			return err
		}
		prefill = append(prefill, float64(prompt)/p.Seconds())
		decode = append(decode, float64(gen)/d.Seconds())
	}
	result := measured{
		Kernel:     kernel.Name(),
		Threads:    m.Threads(),
		PrefillTPS: median(prefill),
		DecodeTPS:  median(decode),
		LoadMS:     float64(loadTime.Microseconds()) / 1000,
		RSSMB:      residentMB(),
		Params:     info.Params,
		DType:      info.DType,
	}
	if o.bandwidth {
		result.ReadGBPS = kernel.ReadBandwidth(result.Threads)
	}
	if o.json {
		return json.NewEncoder(stdout).Encode(result)
	}
	_, err = fmt.Fprintf(stdout, `kernel   %s
threads  %d
read     %.1f tokens per second (%d tokens)
write    %.1f tokens per second (%d tokens)
load     %.1f ms
memory   %.1f MiB
model    %d parameters, %s
`, result.Kernel, result.Threads, result.PrefillTPS, prompt, result.DecodeTPS, gen, result.LoadMS, result.RSSMB, result.Params, result.DType)
	if err == nil && o.bandwidth {
		_, err = fmt.Fprintf(stdout, "limit    %.1f GB of memory read per second\n", result.ReadGBPS)
	}
	return err
}

// timeOnce measures the reading of a prompt of that many tokens, then the writing of gen tokens, each by a forward pass of one
// position.
func timeOnce(ctx context.Context, size int, session *minitron.Session, prompt, gen int) (prefill, decode time.Duration, err error) {
	session.Reset()
	ids := make([]int, prompt)
	for i := range ids {
		ids[i] = i % size
	}
	began := clock.Now()
	logits, err := session.Logits(ctx, ids)
	prefill = clock.Since(began)
	began = clock.Now()
	for n := 0; n < gen && err == nil; n++ {
		logits, err = session.Extend(ctx, []int{sample.Argmax(logits)})
	}
	return prefill, clock.Since(began), err
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[n/2] + values[(n-1)/2]) / 2
}

// residentMB returns the memory of this process in MiB: on Linux the resident set, elsewhere what Go has requested from the
// system.
func residentMB() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		_, rest, _ := strings.Cut(string(status), "VmRSS:")
		if fields := strings.Fields(rest); len(fields) > 0 {
			if kib, err := strconv.ParseFloat(fields[0], 64); err == nil {
				return kib / 1024
			}
		}
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.Sys) / (1 << 20)
}
