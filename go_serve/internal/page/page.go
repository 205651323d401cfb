// Package page holds the chat page, which `web` serves and `minitron html` puts into one file.
//
// The page knows no server. It talks to an engine, which is an object with two functions (assets/app.js); http-engine.js is the
// one for `web`. Nothing here is built or fetched: the page consists of classic scripts, one for each subject, that share the
// object `minitron`.
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
		panic(err) // only if the name above is wrong
	}
	return root
}
