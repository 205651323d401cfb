// Package page holds the chat page: what `web` serves, and what `minitron html` puts into one file.
//
// The page knows no server. It talks to an engine, an object of two functions (assets/app.js); http-engine.js is the one for
// `web`. Nothing here is built or fetched: classic scripts, one subject each, that meet on the object `minitron`.
package page

import (
	"embed"
	"io/fs"
)

//go:embed assets
var assets embed.FS

// Files holds index.html and what it names, at the root.
var Files = files()

func files() fs.FS {
	root, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // the name above is wrong
	}
	return root
}
