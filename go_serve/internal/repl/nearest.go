package repl

import "strings"

// nearest returns the word that was probably meant by a mistyped name, or "" if none is near. That is a word that begins with
// the name, or else the one with the fewest typing errors, at most one in three letters.
func nearest(name string, words []string) string {
	name = strings.ToLower(name)
	for _, word := range words {
		if strings.HasPrefix(word, name) && len(name) > 1 {
			return word
		}
	}
	best, fewest := "", (len([]rune(strings.TrimPrefix(name, "/")))+1)/3
	for _, word := range words {
		if n := distance(name, word); n < fewest || n == fewest && best == "" {
			best, fewest = word, n
		}
	}
	return best
}

// distance counts typing errors: insertions, deletions and replacements of characters, and neighbours in the wrong order
// (the optimal string alignment distance, after Damerau and Levenshtein).
func distance(from, to string) int {
	a, b := []rune(from), []rune(to)
	rows := make([][]int, len(a)+1) // rows[i][j]: errors from a[:i] to b[:j]
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
		for j := 1; j <= len(b); j++ {
			if i == 0 {
				rows[i][j] = j
				continue
			}
			replaced := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			rows[i][j] = min(replaced, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
