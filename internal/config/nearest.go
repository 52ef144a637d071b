package config

import "strings"

// suggestion ends a message about a word that none of known equals; it is empty when none is near.
func suggestion(word string, known []string) string {
	if best := nearest(word, known); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}

// nearest returns the word of known with the fewest edits, if those are few enough to be a slip of the hand: one for
// every three letters, and at least one. Of equals the first one wins.
func nearest(word string, known []string) string {
	if len(word) > 64 {
		return "" // no slip of the hand, and distance is quadratic
	}
	best, least := "", max(1, len(word)/3)+1
	for _, k := range known {
		if d := distance(fold(word), fold(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

// fold lets maxBytes, max-bytes and max_bytes be one word.
func fold(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
}

// distance counts insertions, deletions, replacements and swaps of neighbours (Damerau-Levenshtein, optimal string
// alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// Nearest returns the word of known that word was probably meant to be, or "".
func Nearest(word string, known []string) string { return nearest(word, known) }
