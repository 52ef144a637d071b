package batcher

import "sync"

// reason says why a value is in _unmapped, or what it has lost in its column.
type reason string

// Why a value is in _unmapped.
const (
	reasonMisfit    reason = "misfit"       // the column's type does not take it
	reasonCut       reason = "cut"          // the column has a part of it
	reasonCollision reason = "collision"    // another member of the event has the column
	reasonColumns   reason = "column_limit" // the table has as many columns as it may
	reasonDropped   reason = "dropped"      // batcher.columns.drop
	reasonUnknown   reason = "unknown"      // no table of its type has a column for it
)

// What a value has lost.
const (
	reasonLength     reason = "length"     // a string's end
	reasonDigits     reason = "digits"     // of a double, or below a microsecond
	reasonCharacters reason = "characters" // NULs, and what is no UTF-8
	reasonSize       reason = "size"       // json or _unmapped that became a digest
)

func unmappedReasons() []reason {
	return []reason{reasonMisfit, reasonCut, reasonCollision, reasonColumns, reasonDropped, reasonUnknown}
}

func cutReasons() []reason {
	return []reason{reasonLength, reasonDigits, reasonCharacters, reasonSize}
}

// valueCounts counts the values of a table that did not go into their columns
// as they came.
type valueCounts struct{ unmapped, cut map[reason]int64 }

func newValueCounts() *valueCounts {
	return &valueCounts{unmapped: map[reason]int64{}, cut: map[reason]int64{}}
}

// tableLabels bounds the values of the label table: the first tables that ask
// have their names, the others share one.
type tableLabels struct {
	mu    sync.Mutex // guards names
	names map[string]bool
}

const (
	labelledTables = 200
	otherTables    = "other"
)

func (l *tableLabels) of(table string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.names == nil {
		l.names = map[string]bool{}
	}
	if !l.names[table] && len(l.names) >= labelledTables {
		return otherTables
	}
	l.names[table] = true
	return table
}
