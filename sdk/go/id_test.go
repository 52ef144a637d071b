package millstream

import (
	"regexp"
	"sync"
	"testing"
)

var uuidV7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestIDsOfOneMillisecondRise(t *testing.T) {
	var clock idClock
	last := ""
	for range 10_000 {
		id := string(clock.append(nil, 1772359200000))
		if !uuidV7.MatchString(id) {
			t.Fatalf("%s is no UUIDv7", id)
		}
		if id <= last {
			t.Fatalf("%s after %s", id, last)
		}
		last = id
	}
}

func TestIDsStayDistinctWhenTheClockStepsBack(t *testing.T) {
	var clock idClock
	a := string(clock.append(nil, 2000))
	b := string(clock.append(nil, 1000))
	if b <= a {
		t.Errorf("%s after %s", b, a)
	}
}

func TestIDsOfManyGoroutinesAreDistinct(t *testing.T) {
	var clock idClock
	var wait sync.WaitGroup
	seen := make([]map[uint64]bool, 8)
	for i := range seen {
		seen[i] = map[uint64]bool{}
		wait.Add(1)
		go func() {
			defer wait.Done()
			for range 2000 {
				seen[i][clock.next(5)] = true
			}
		}()
	}
	wait.Wait()
	all := map[uint64]bool{}
	for _, s := range seen {
		for id := range s {
			all[id] = true
		}
	}
	if len(all) != 16_000 {
		t.Errorf("%d distinct ids of 16,000", len(all))
	}
}
