package width

import (
	"slices"
	"testing"
)

func TestClusters(t *testing.T) {
	for text, want := range map[string][]int{ // the width of each cluster
		"abc":                   {1, 1, 1},
		"привет":                {1, 1, 1, 1, 1, 1},
		"日本":                    {2, 2},
		"e\u0301a":              {1, 1},
		"й":                     {1},
		"и\u0306":               {1},
		"👩‍👩‍👧‍👦x":              {2, 1},
		"👍🏽👍":                   {2, 2},
		"🏽":                     {2},
		"🇷🇺🇺🇸🇷":                 {2, 2, 1},
		"❤️❤":                   {2, 1},
		"1️⃣1":                  {2, 1},
		"🏴\U000e0067\U000e007f": {2},
		"각\u1100\u1161\u11a8":   {2, 2},
		"＋ﾊ":                    {2, 1},
		"नि":                    {1},
		"\u200b":                {0},
		"a\u200db":              {1, 1}, // a joiner joins pictures only
		"\n\u0301":              {1, 0},
		"\t":                    {Tab},
		"─│":                    {1, 1},
	} {
		var got []int
		runes := []rune(text)
		for i := 0; i < len(runes); {
			end := Next(runes, i)
			got = append(got, OfCluster(runes[i:end]))
			if back := Previous(runes, end); back != i {
				t.Errorf("%q: previous(%d) = %d, want %d", text, end, back, i)
			}
			i = end
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: widths %v, want %v", text, got, want)
		}
	}
}

func TestWideIsSorted(t *testing.T) {
	for i, part := range wide {
		if part[0] > part[1] || i > 0 && wide[i-1][1] >= part[0] {
			t.Errorf("wide[%d] = %x", i, part)
		}
	}
}
