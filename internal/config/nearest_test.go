package config

import "testing"

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"listen", "limits", "max_bytes", "max_age", "tls"}
	for word, want := range map[string]string{
		"lisen": "listen", "lsiten": "listen", "limit": "limits", "maxBytes": "max_bytes", "max-age": "max_age", "tsl": "tls",
		"t": "", "compression": "", "": "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"abcd", "acbd", 1}, {"ca", "abc", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%s, %s: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
