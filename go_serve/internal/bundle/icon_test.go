package bundle

import (
	"encoding/base64"
	"testing"
)

func TestIcon(t *testing.T) {
	png := base64.StdEncoding.EncodeToString([]byte("\x89PNG\r\n\x1a\n and the rest"))
	for icon, want := range map[string]bool{
		"": true, png: true,
		`"><meta http-equiv="refresh" content="0; url=http://evil.example">`: false,
		`") , url("http://evil.example`:                                      false,
		png[:8] + "\n" + png[8:]:                                             false,
		png + `"`:                                                            false,
		base64.StdEncoding.EncodeToString([]byte("<svg onload=alert(1)>")):   false,
	} {
		if got := isIcon(icon); got != want {
			t.Errorf("%q: %v", icon, got)
		}
	}
}
