//go:build !linux && !darwin

package bundle

import "os"

// mapFile is not worth its code here: only `--model` reads a file, and a read is as good.
func mapFile(*os.File, int64) (data []byte, release func() error, ok bool) { return nil, nil, false }
