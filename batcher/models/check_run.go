package models

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/millstream-data/millstream/internal/warehouse"
)

// test runs the model's tests on a table and returns the failures as an error.
// All are run: somebody who mends one wants to know of the others.
func (b *build) test(ctx context.Context, on warehouse.Name, exists bool) error {
	var bad []error
	for _, t := range b.m.Tests {
		r, err := b.testOne(ctx, t, on, exists)
		if err != nil {
			if fault := ownFault(err); !fault {
				return err
			}
			bad = append(bad, &FileError{b.m.File, t.Line, fmt.Sprintf("test %s: %s", t, words(err))})
			continue
		}
		b.made.Tests = append(b.made.Tests, r)
		if r.Bad() {
			bad = append(bad, &FileError{b.m.File, t.Line, "test " + r.String()})
		}
	}
	return errors.Join(bad...)
}

func (b *build) testOne(ctx context.Context, t Test, on warehouse.Name, exists bool) (TestResult, error) {
	r := TestResult{Test: strings.TrimPrefix(t.String(), "warn "), Warn: t.Warn, Line: t.Line}
	if t.kind == testRowChange {
		return b.rowChange(ctx, t, r, on, exists)
	}
	count, show := t.failures(on, b.names)
	var err error
	if r.Failures, err = b.count(ctx, count); err != nil || r.Failures == 0 {
		return r, err
	}
	return r, each(ctx, b.conn, show, func(row []string) error {
		r.Found = append(r.Found, shorten(strings.Join(row, ", "), 200))
		return nil
	})
}

// rowChange compares with the table that is shown. A first build, and one after
// an empty table, has nothing to compare with.
func (b *build) rowChange(ctx context.Context, t Test, r TestResult, on warehouse.Name, exists bool) (TestResult, error) {
	if !exists || on == b.m.Name {
		return r, nil
	}
	before, err := b.count(ctx, "SELECT COUNT(*) FROM "+b.m.Name.SQL())
	if err != nil || before == 0 {
		return r, err
	}
	after := b.made.Rows
	if b.m.View {
		if after, err = b.count(ctx, "SELECT COUNT(*) FROM "+on.SQL()); err != nil {
			return r, err
		}
	}
	change := 100 * float64(after-before) / float64(before)
	if math.Abs(change) > t.percent {
		r.Failures = 1
		r.Found = []string{fmt.Sprintf("%d rows before, %d now: %+.1f%%", before, after, change)}
	}
	return r, nil
}

// ownFault says that an error is the model's own, and not the session's or the
// cluster's.
func ownFault(err error) bool {
	if errors.Is(err, errRival) || errors.Is(err, errReaders) || errors.Is(err, warehouse.ErrLeaseTaken) {
		return false
	}
	switch warehouse.Classify(err) {
	case warehouse.ClassConflict, warehouse.ClassUnknown, warehouse.ClassBusy:
		return false
	case warehouse.ClassRaced:
		return warehouse.IsCode(err, "42701") // of a SELECT with two columns of a name
	default:
		return true
	}
}
