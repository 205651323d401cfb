package bundle

import (
	"bytes"
	"encoding/base64"
)

var pngSignature = []byte("\x89PNG\r\n\x1a\n")

// isIcon reports whether a text is a PNG in base64, or empty. Pages put it into addresses and style sheets, so nothing else
// may pass.
func isIcon(text string) bool {
	if text == "" {
		return true
	}
	picture, err := base64.StdEncoding.Strict().DecodeString(text)
	return err == nil && bytes.HasPrefix(picture, pngSignature) && base64.StdEncoding.EncodeToString(picture) == text // no line ends
}
