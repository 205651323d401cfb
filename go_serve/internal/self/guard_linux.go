//go:build amd64 || arm64

package self

// guard runs before Go's own start, if minitron/program/guard.py has made it the program's entry: it reads the file as Check does,
// and Go's runtime, whose start touches a good part of the program, never runs damaged. It is machine code to be copied
// into the first page of the file; a call would be a mistake.
func guard()

// kept keeps the linker from leaving guard out.
var kept = guard

func init() {
	if kept == nil {
		panic("self: unreachable")
	}
}
