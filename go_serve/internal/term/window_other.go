//go:build !windows

package term

// HoldWindow does nothing: on these systems a terminal's window outlives the program.
func HoldWindow(string) {}
