package main

import (
	"strings"
	"testing"

	"minitron/internal/about"
	"minitron/internal/bundle"
)

// TestInfoTellsThePersonality holds that what the owner says is shown, in a line each, and that what is empty is not.
func TestInfoTellsThePersonality(t *testing.T) {
	model := about.Model{Name: "Tiko", About: bundle.About{Version: "1.2", Licence: "free"}}
	model.Made = bundle.Made{Sources: []bundle.Source{{Name: "jokes", Licence: "CC0"}}, Trained: "2026-11-20T14:00:00Z"}
	var out strings.Builder
	if err := printAbout(&out, model); err != nil {
		t.Fatal(err)
	}
	want := []string{"name        Tiko\nversion     1.2\nlicence     free\nshape ", "\ndata        jokes, CC0\ntrained     2026-11-20T14:00:00Z\nmade "}
	for _, text := range want {
		if !strings.Contains(out.String(), text) {
			t.Errorf("%q is not in\n%s", text, out.String())
		}
	}
	model.Greeting, model.System, model.Questions = "Hi!\nI am Tiko.", "be\x1b[2J kind", []string{"Who?", "Why?"}
	out.Reset()
	if err := printAbout(&out, model); err != nil {
		t.Fatal(err)
	}
	if text := "\ngreeting    Hi! I am Tiko.\ntold first  be\ufffd[2J kind\nquestions   Who? | Why?\nshape "; !strings.Contains(out.String(), text) {
		t.Errorf("%q is not in\n%q", text, out.String())
	}
}
