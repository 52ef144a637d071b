// Package metric knows what a metric is: its definition, the cells that keep
// its values, the aggregators whose states they hold, the days of a zone, and
// the store in which cells and positions live together. rollup writes through
// it, serve reads through it; neither knows the other.
//
// # Promise
//
// A metric is a function of the log. Whatever the order in which states are
// merged, and however they were split, their bytes are the same.
//
// # Invariants
//
//  1. Every aggregator's Merge is associative and commutative, and its encoding is canonical: equal content, equal bytes.
//  2. A row of a cell is written by the owner of its src only, and only in the transaction that moves the src's position.
//  3. A day is an interval of instants, [start(d), start(d+1)); nobody asks a clock for its date.
//  4. A value in the store is absolute. Whoever reads merges partials; whoever repeats writes the same.
//
// # Non-obvious
//
//   - Never add floating-point numbers in a state: the order of additions shows in the last digits.
//   - Never skip Reclaim after an unknown outcome. A read could see the position from before a COMMIT that is still on its way.
//   - A state's form (exact set or registers) depends on the union alone. Do not switch early because a delta is large.
package metric
