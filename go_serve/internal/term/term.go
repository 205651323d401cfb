// Package term answers what standard output is, and readies a Windows console.
package term

import "os"

// IsTerminal reports whether a person looks at f.
func IsTerminal(f *os.File) bool { return isTerminal(f) }

// WantsColour reports whether f may get escape sequences: a terminal, without NO_COLOR and not TERM=dumb.
func WantsColour(f *os.File) bool {
	return IsTerminal(f) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
