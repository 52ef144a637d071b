package cdc

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/testkit"
	"github.com/millstream-data/millstream/internal/wire"
)

// lastWhole are the rows of the last complete poll of a table without a key.
func (s *shop) lastWhole() (rows []string, err error) {
	s.Helper()
	got := s.topic()
	_, last := s.replaced("whole")
	if last == nil {
		return nil, errors.New("no poll is complete")
	}
	for i, h := range got.headers {
		if h.Kind != wire.KindChange || h.Poll != last.Poll {
			continue
		}
		if got.keys[i] != "" {
			s.Errorf("record %d has the key %s", i, got.keys[i])
		}
		rows = append(rows, string(got.changes[i].After))
	}
	slices.Sort(rows)
	return rows, nil
}

// A table without a key is read whole, in one snapshot; equal rows stay as many
// as they are. A crash within begins the poll anew.
func TestKeyless(t *testing.T) {
	t.Parallel()
	const ddl = "CREATE TABLE orders (note TEXT)"
	want := func(notes ...string) (rows []string) {
		for _, n := range notes {
			rows = append(rows, fmt.Sprintf(`{"note":%q}`, n))
		}
		slices.Sort(rows)
		return rows
	}
	setUp := func(t *testing.T) *shop {
		s := setup(t, ddl)
		s.tables(polledBy(StrategyConfig{Kind: kindFull, Name: "whole", Publish: publishReplace}))
		s.edit(func(src *SourceConfig) { src.Page.Bytes = 40 }) // four rows a page
		return s
	}
	await := func(s *shop, rows []string) {
		s.Helper()
		testkit.Eventually(s.T, "the last poll has every row", func() error {
			got, err := s.lastWhole()
			if diff := cmp.Diff(rows, got); err == nil && diff != "" {
				err = errors.New(diff)
			}
			return err
		})
	}
	t.Run("rows that are equal", func(t *testing.T) {
		t.Parallel()
		s := setUp(t)
		s.run(nil)
		await(s, nil)
		notes := []string{"twice", "twice"}
		for i := range 20 {
			notes = append(notes, fmt.Sprint(i))
		}
		for _, n := range notes {
			s.exec("INSERT INTO orders VALUES (?)", n)
		}
		await(s, want(notes...))
		s.exec("DELETE FROM orders WHERE rowid = 1")
		await(s, want(notes[1:]...))
		s.order("main.orders", wire.CDCReload)
		s.obeyed("a reload is the next poll", func(*state) error { return nil })
	})
	for _, step := range killSteps {
		t.Run("killed at "+step, func(t *testing.T) {
			t.Parallel()
			s := setUp(t)
			var notes []string
			for i := range 40 {
				notes = append(notes, fmt.Sprint(i))
				s.exec("INSERT INTO orders VALUES (?)", notes[i])
			}
			s.cfg.Transaction.Linger = 1
			at, crashed := crashAt(step, 4)
			stop := s.run(at)
			<-crashed
			stop()
			s.exec("DELETE FROM orders WHERE rowid = 1")
			s.run(nil)
			await(s, want(notes[1:]...))
		})
	}
	t.Run("with another strategy", func(t *testing.T) {
		t.Parallel()
		s := setup(t, "CREATE TABLE orders (note TEXT, updated_at DATETIME)")
		s.awaitStopped("no_key")
	})
}
