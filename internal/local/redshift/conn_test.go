//go:build cgo

package redshift

import (
	"testing"
)

func TestErrorResponseMovesThePosition(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{"SERROR\x00C42703\x00Mm\x00\x00", "SERROR\x00C42703\x00Mm\x00\x00"},
		{"SERROR\x00C42703\x00Mm\x00Hplain\x00\x00", "SERROR\x00C42703\x00Mm\x00Hplain\x00\x00"},
		{"SERROR\x00Mm\x00H" + positioned("", 8) + "\x00\x00", "SERROR\x00Mm\x00P8\x00\x00"},
		{"SERROR\x00Mm\x00H" + positioned("try", 12) + "\x00Dd\x00\x00", "SERROR\x00Mm\x00P12\x00Htry\x00Dd\x00\x00"},
	} {
		if got := string(errorResponse(message('E', test.in))); got != string(message('E', test.want)) {
			t.Errorf("%q: got %q, want %q", test.in, got, test.want)
		}
	}
}
