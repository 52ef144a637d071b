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
	if pairs < 200 {
		t.Errorf("%d pairs, want at least 200", pairs)
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

func TestFoldersHaveOneOwner(t *testing.T) {
	t.Parallel()
	saw, err := lake.CheckFolders([]string{"app", "shop_eu"}, map[string][]string{"shop": {"public", "sales"}, "crm": {"public"}})
	if err != nil || saw != "5, each with one owner" {
		t.Errorf("%q, %v", saw, err)
	}
	for want, c := range map[string]struct {
		events   []string
		mirrored map[string][]string
	}{
		"the event source shop_public and the schema public of the cdc source shop would both be shop_public": {[]string{"app", "shop_public"}, map[string][]string{"shop": {"public"}}},
		"the schema Public of the cdc source Shop would both be shop_public":                                  {[]string{"shop_public"}, map[string][]string{"Shop": {"Public"}}},
		"the schema b_c of the cdc source a and the schema c of the cdc source a_b would both be a_b_c":       {nil, map[string][]string{"a": {"b_c"}, "a_b": {"c"}}},
	} {
		if _, err := lake.CheckFolders(c.events, c.mirrored); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestSiblingsMeetNoOtherName(t *testing.T) {
	t.Parallel()
	n := lake.NewNamer()
	for _, in := range []string{"total__float", "Total __ str", "a|_|_float", strings.Repeat("x", 117) + "__str", strings.Repeat("ab_", 60) + "__float"} {
		if name := n.Name(strings.Split(in, "|")...); lake.IsSibling(name) {
			t.Errorf("%q gives %q", in, name)
		}
	}
	long, other := strings.Repeat("x", 120)+"1", strings.Repeat("x", 120)+"2"
	a, b := lake.Sibling(long, lake.SuffixFloat), lake.Sibling(other, lake.SuffixFloat)
	if len(a) != lake.MaxName || !lake.IsSibling(a) || a == b {
		t.Errorf("%q and %q", a, b)
	}
	if got := lake.Sibling("total", lake.SuffixStr); got != "total__str" {
		t.Errorf("%q", got)
	}
}
