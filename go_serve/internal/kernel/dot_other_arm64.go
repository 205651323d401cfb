//go:build !linux && !darwin && !windows

package kernel

// hasDot reports whether the processor has SDOT: these systems do not say so in a way that needs no C library.
func hasDot() bool { return false }
