package event

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

func TestUUIDv7HasTheLayoutOfRFC9562(t *testing.T) {
	t.Parallel()
	var ids IDs
	id := ids.UUIDv7(time.UnixMilli(1645557742000)) // the example of RFC 9562, appendix A.6
	if len(id) != 36 || !strings.HasPrefix(id, "017f22e2-79b0-7") {
		t.Errorf("%s does not begin with its milliseconds and version", id)
	}
	if strings.IndexByte("89ab", id[19]) < 0 {
		t.Errorf("%s: variant %c", id, id[19])
	}
	for i, c := range id {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (c == '-') || !dash && !strings.ContainsRune("0123456789abcdef", c) {
			t.Errorf("%s: %c at %d", id, c, i)
		}
	}
}

func TestUUIDv7SortsByWhenItWasMade(t *testing.T) {
	t.Parallel()
	var (
		ids IDs
		all []string
	)
	// More than a millisecond's counter holds, a clock that goes on, and one that goes back.
	for _, d := range []time.Duration{0, time.Millisecond, -time.Hour, 2 * time.Hour} {
		for range 5000 {
			all = append(all, ids.UUIDv7(noon.Add(d)))
		}
	}
	if !slices.IsSorted(all) {
		t.Error("ids are out of order")
	}
	if n := len(slices.Compact(all)); n != 20000 {
		t.Errorf("%d of 20000 ids differ", n)
	}
}

func TestConcurrentUUIDv7Differ(t *testing.T) {
	t.Parallel()
	var (
		ids  IDs
		wg   sync.WaitGroup
		mu   sync.Mutex
		seen = map[string]bool{}
	)
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				id := ids.UUIDv7(noon)
				mu.Lock()
				seen[id[:18]] = true // time and counter alone
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != 8000 {
		t.Errorf("%d of 8000 ids differ in time and counter", len(seen))
	}
}

func TestULIDLeadsWithItsMilliseconds(t *testing.T) {
	t.Parallel()
	// The example of github.com/ulid/spec: 01ARZ3NDEK is 1469922850259 ms.
	if id := ULID(time.UnixMilli(1469922850259)); len(id) != 26 || !strings.HasPrefix(id, "01arz3ndek") {
		t.Errorf("%s", id)
	}
	earlier, later := ULID(noon), ULID(noon.Add(time.Millisecond))
	if earlier >= later {
		t.Errorf("%s does not sort before %s", earlier, later)
	}
	seen, at := map[string]bool{}, [26]map[byte]bool{}
	for i := range at {
		at[i] = map[byte]bool{}
	}
	for range 1000 {
		id := ULID(noon)
		if rest := strings.Trim(id, crockford); rest != "" {
			t.Fatalf("%s has %q", id, rest)
		}
		seen[id] = true
		for i := range id {
			at[i][id[i]] = true
		}
	}
	if len(seen) != 1000 {
		t.Errorf("%d of 1000 ids differ", len(seen))
	}
	for i := 10; i < 26; i++ { // what follows the time is random to the last bit
		if len(at[i]) != 32 {
			t.Errorf("%d of 32 characters at %d", len(at[i]), i)
		}
	}
}

func TestTimesAreWrittenInUTCWithThreeOrSixDigits(t *testing.T) {
	t.Parallel()
	berlin := time.FixedZone("CET", 3600)
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{noon, "2026-03-01T12:00:00.123456Z"},
		{noon.Truncate(time.Millisecond), "2026-03-01T12:00:00.123Z"},
		{noon.Truncate(time.Second), "2026-03-01T12:00:00.000Z"},
		{noon.Truncate(time.Second).Add(999), "2026-03-01T12:00:00.000Z"}, // below a microsecond: cut off
		{noon.Truncate(time.Second).Add(time.Microsecond), "2026-03-01T12:00:00.000001Z"},
		{time.Date(2026, 3, 1, 0, 30, 0, 0, berlin), "2026-02-28T23:30:00.000Z"},
	} {
		if got := FormatTime(c.at); got != c.want {
			t.Errorf("%s: %s, want %s", c.at, got, c.want)
		}
		if got := string(AppendTime([]byte("at "), c.at)); got != "at "+c.want {
			t.Errorf("appended: %s", got)
		}
	}
}

func TestTimesAreWrittenAsTheStandardLibraryWould(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	first, last := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	for i := range 10_000 {
		at := time.Unix(first.Unix()+random.Int64N(last.Unix()-first.Unix()), random.Int64N(1e9)).UTC()
		layout := "2006-01-02T15:04:05.000000Z"
		switch i {
		case 0:
			at = first
		case 1:
			at = last
		}
		if at.Nanosecond()/1000%1000 == 0 {
			layout = "2006-01-02T15:04:05.000Z"
		}
		if got, want := FormatTime(at), at.Format(layout); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}

func TestOnlySegmentsCallsAreTypes(t *testing.T) {
	t.Parallel()
	for _, typ := range Types() {
		if got, ok := ParseType(string(typ)); !ok || got != typ {
			t.Errorf("%s: %s, %v", typ, got, ok)
		}
	}
	for _, s := range []string{"", "Track", "track ", "batch"} {
		if got, ok := ParseType(s); ok {
			t.Errorf("%q is the type %s", s, got)
		}
	}
}
