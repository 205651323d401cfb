//go:build !windows

// Package clock measures how long something took, in steps well below a microsecond on Windows too, where time.Now moves in steps
// of up to 16 ms.
package clock

import "time"

// Instant is a moment, of use for Since alone.
type Instant time.Time

// Now returns this moment.
func Now() Instant { return Instant(time.Now()) }

// Since returns how long ago a moment was.
func Since(began Instant) time.Duration { return time.Since(time.Time(began)) }
