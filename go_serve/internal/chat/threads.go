package chat

import "runtime"

// smallParams is the size below which waking a second thread costs more than it saves.
const smallParams = 5_000_000

// Threads returns asked, or where that is below 1 a number that suits a model of that many parameters here.
func Threads(params int64, asked int) int {
	switch {
	case asked >= 1:
		return asked
	case params < smallParams:
		return 1
	}
	return min(runtime.GOMAXPROCS(0), 8)
}
