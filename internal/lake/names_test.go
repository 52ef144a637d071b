package lake_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/millstream-data/millstream/internal/lake"
)

// Each line of names.golden is two Go strings: a path's members joined with
// "|", and its name.
func TestNamesGolden(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/names.golden")
	if err != nil {
		t.Fatal(err)
	}
	n := lake.NewNamer()
	pairs := 0
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		quotedIn, quotedWant, ok := strings.Cut(line, "\t")
		in, err1 := strconv.Unquote(quotedIn)
		want, err2 := strconv.Unquote(quotedWant)
		if !ok || err1 != nil || err2 != nil {
			t.Fatalf("line %d: %q", i+1, line)
		}
		if got := n.Name(strings.Split(in, "|")...); got != want {
			t.Errorf("line %d: %q is %q, want %q", i+1, in, got, want)
		}
		pairs++
	}
	if pairs < 120 {
		t.Errorf("%d pairs, want at least 120", pairs)
	}
}

func TestNamesAreAlwaysLegal(t *testing.T) {
	t.Parallel()
	n := lake.NewNamer()
	for _, in := range []string{"", "_", "a", "9", "日本", "SELECT", strings.Repeat("x", 500), "\x00\xff", "a\x00b", "😀", "İ", "-"} {
		checkName(t, n, in)
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"Order Completed", "3DView", "group", "日本語", "a__b", "\xff"} {
		f.Add(s)
	}
	n := lake.NewNamer()
	f.Fuzz(func(t *testing.T, in string) { checkName(t, n, in) })
}

func checkName(t *testing.T, n *lake.Namer, in string) {
	t.Helper()
	got := n.Name(in)
	if got == "" || len(got) > lake.MaxName || got[0] >= '0' && got[0] <= '9' ||
		strings.Trim(got, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		t.Errorf("%q gives %q", in, got)
	}
	if again := n.Name(got); len(got) < lake.MaxName && got[0] != '_' && again != got {
		t.Errorf("%q gives %q, which gives %q", in, got, again)
	}
}

func TestEventTablesKeepOffFixedTables(t *testing.T) {
	t.Parallel()
	n := lake.NewNamer()
	for in, want := range map[string]string{
		"Users": "event_users", "tracks": "event_tracks", "Pages": "event_pages", "Order Completed": "order_completed",
		"tracks other": "event_tracks_other", "group": "_group",
	} {
		if got := n.EventTable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestMirrorsKeepOriginsNames(t *testing.T) {
	t.Parallel()
	n := lake.NewNamer()
	for in, want := range map[string]string{"orders": "orders", "Orders": "orders", "_x__y": "_x__y", "order lines": "order_lines", "user": "user"} {
		if got := n.Origin(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := n.MirrorSchema("shop", "public"); got != "shop_public" {
		t.Errorf("schema %q", got)
	}
}
