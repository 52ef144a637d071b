package cdc

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/testkit"
)

// Within its window, bounded finds deletes and updates without a stamp; a row
// that leaves the window is none.
func TestBoundedDiff(t *testing.T) {
	t.Parallel()
	for name, st := range map[string]StrategyConfig{
		"stamp":   {Kind: kindBounded, Name: kindBounded, Publish: publishDiff, Column: "updated_at", Window: Window{By: time.Hour}},
		"integer": {Kind: kindBounded, Name: kindBounded, Publish: publishDiff, Column: "id", Window: Window{N: 100}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t, orders)
			s.tables(polledBy(st))
			s.exec("INSERT INTO orders VALUES (-500, '1', 'old', '2020-01-01T00:00:00.000000Z')")
			for i := range 40 {
				s.insert(i, "a")
			}
			stop := s.run(nil)
			s.mirrored()
			rnd := rand.New(rand.NewPCG(3, 9))
			for range 8 {
				for range 6 {
					s.disturb(rnd)
				}
				s.mirrored()
			}
			s.exec("DELETE FROM orders WHERE id BETWEEN 5 AND 25")
			s.mirrored()
			s.insert(70, "leaves")
			s.mirrored()
			moved := "UPDATE orders SET updated_at = '2020-01-02T00:00:00.000000Z' WHERE id = 70"
			if name == "stamp" {
				s.exec(moved)
			}
			s.exec("DELETE FROM orders WHERE id = -500") // outside of the window: not seen
			s.insert(60, "last")
			testkit.Eventually(t, "the last one arrives", func() error {
				if s.topic().notes()[orderKey(60)] != "last" {
					return errors.New("not yet")
				}
				return nil
			})
			stop()
			want := s.origin()
			want[orderKey(-500)] = "old"
			if diff := cmp.Diff(want, s.topic().notes()); diff != "" {
				t.Errorf("mirror: %s", diff)
			}
		})
	}
}
