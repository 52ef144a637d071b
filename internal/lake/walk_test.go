package lake_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/testkit"
)

func TestWalkBeginsWhereItIsTold(t *testing.T) {
	t.Parallel()
	_, l := testkit.Lake(t)
	id := lake.ChainID{Topic: "millstream.events", Partition: 2}
	start := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	var prev *int64
	put := func(first, next int64, minute int) {
		t.Helper()
		c := lake.Commit{
			V: 1, Kind: lake.KindEmpty, Topic: id.Topic, Partition: id.Partition, First: first, Next: next, Prev: prev, Holes: next - first,
			CreatedAt: lake.Time{Time: start.Add(time.Duration(minute) * time.Minute)},
		}
		body, err := c.Encode()
		if err == nil {
			err = l.Store.Create(t.Context(), l.Paths.Commit(id.Topic, id.Partition, first), body)
		}
		if err != nil {
			t.Fatal(err)
		}
		prev = &first
	}
	if _, ok, err := l.FirstSince(t.Context(), id, start); ok || err != nil {
		t.Fatalf("an empty chain: %v, %v", ok, err)
	}
	for i := range 7 {
		put(int64(10*i), int64(10*i+10), i)
	}
	for _, tc := range []struct {
		minute int
		want   int64
	}{{-5, 0}, {0, 0}, {1, 10}, {4, 40}, {6, 60}, {9, 60}} {
		got, ok, err := l.FirstSince(t.Context(), id, start.Add(time.Duration(tc.minute)*time.Minute))
		if err != nil || !ok || got != tc.want {
			t.Errorf("since minute %d: %d, %v, %v, want %d", tc.minute, got, ok, err, tc.want)
		}
	}
	var firsts []int64
	see := func(c lake.Commit) error { firsts = append(firsts, c.First); return nil }
	if next, err := l.Walk(t.Context(), id, 40, see); err != nil || next != 70 || !slices.Equal(firsts, []int64{40, 50, 60}) {
		t.Errorf("from 40: %v to %d, %v", firsts, next, err)
	}
	if next, err := l.Walk(t.Context(), id, 70, see); err != nil || next != 70 {
		t.Errorf("at the end: %d, %v", next, err)
	}
	put(80, 90, 8)
	if next, err := l.Walk(t.Context(), id, 60, see); !errors.Is(err, lake.ErrChainGap) || next != 70 {
		t.Errorf("a gap: %d, %v", next, err)
	}
	stop := errors.New("enough")
	if _, err := l.Walk(t.Context(), id, 0, func(lake.Commit) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a visitor's error: %v", err)
	}
}
