package repl

import "strings"

// nearest returns the word with the fewest edits to name, or "" when none is near.
func nearest(name string, words []string) string {
	best, fewest := "", 4
	for _, word := range words {
		if strings.HasPrefix(word, name) && len(name) > 1 {
			return word
		}
		if n := edits(name, word); n < fewest {
			best, fewest = word, n
		}
	}
	return best
}

// edits is the Levenshtein distance: insertions, deletions and replacements of characters.
func edits(from, to string) int {
	a, b := []rune(from), []rune(to)
	row := make([]int, len(b)+1) // row[j]: edits from a[:i] to b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
