//go:build !linux && !darwin

package weights

import "os"

// mapFile is not worth its code here: only `--model` reads a file, and a read is as good.
func mapFile(*os.File, int) (data []byte, release func() error, ok bool) { return nil, nil, false }
