//go:build !linux && !darwin && !windows

package kernel

// hasDot reports whether there is SDOT: nothing here says so in a way that needs no C library.
func hasDot() bool { return false }
