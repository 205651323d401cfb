//go:build amd64 || arm64

package self

// guard is machine code that minitron/program/guard.py copies into the first page of the program's file and makes its entry
// point. There it runs before Go's own start and checks the file as Check does, because Go's runtime touches a good part of the
// program when it starts and must not run damaged. It must never be called.
func guard()

// kept keeps the linker from removing guard.
var kept = guard

func init() {
	if kept == nil {
		panic("self: unreachable")
	}
}
