package fault

import "runtime/debug"

// Lost is what a goroutine panics with when it reads a part of a mapped file that is no longer there, because another program
// has cut the file or its disk is gone. See Mapped.
type Lost interface{ Addr() uintptr }

// Mapped calls do, which reads a mapped file, and returns an error if a part of the file is lost. Any other panic goes on.
func Mapped(file string, do func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case Lost:
			err = New("start again, and leave the file alone meanwhile", "%s was cut or replaced while it was in use", file)
		default:
			panic(cause)
		}
	}()
	do()
	return nil
}
