//go:build !windows

package term

// HoldWindow does nothing: elsewhere a terminal's window outlives the program.
func HoldWindow(string) {}
