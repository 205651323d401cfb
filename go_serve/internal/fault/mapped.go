package fault

import "runtime/debug"

// Lost is what a goroutine panics with that reads a mapped file where the file has nothing any more: another program has cut
// it, or its disk is gone. See Mapped.
type Lost interface{ Addr() uintptr }

// Mapped does something that reads a mapped file, and returns an error where a part of the file is lost. A panic of another
// kind goes on.
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
