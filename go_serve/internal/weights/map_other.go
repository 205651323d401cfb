//go:build !linux && !darwin

package weights

import "os"

// mapFile always reports false on these systems. Mapping is not worth its code: only `--model` opens a file, and reading it is
// as good.
func mapFile(*os.File, int) (data []byte, release func() error, ok bool) { return nil, nil, false }
