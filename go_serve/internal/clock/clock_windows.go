// Package clock measures how long something took, in steps well below a microsecond on Windows too, where time.Now moves in steps
// of up to 16 ms.
package clock

import (
	"syscall"
	"time"
	"unsafe"
)

var (
	kernel32 = syscall.NewLazyDLL("kernel32.dll")
	counter  = kernel32.NewProc("QueryPerformanceCounter")
	perTick  = nanosecondsPerTick()
)

// Instant is a moment, of use for Since alone.
type Instant int64

// Now returns this moment.
func Now() Instant {
	var ticks int64
	counter.Call(uintptr(unsafe.Pointer(&ticks)))
	return Instant(ticks)
}

// Since returns how long ago a moment was.
func Since(began Instant) time.Duration { return time.Duration(float64(Now()-began) * perTick) }

func nanosecondsPerTick() float64 {
	var perSecond int64
	kernel32.NewProc("QueryPerformanceFrequency").Call(uintptr(unsafe.Pointer(&perSecond)))
	return 1e9 / float64(max(1, perSecond))
}
