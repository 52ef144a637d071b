// Package verify shows that what was accepted, what the lake holds, what the
// warehouse holds and what metrics have counted are the same, per source and
// day. It knows batchers, loaders and rollup by what they leave behind: commits,
// the ledger with its tables, and the metric store with its positions.
//
// # Promise
//
// Every line balances to zero: each difference between two of the four is a
// named term, counted by itself from what somebody has written down, and what
// no term explains is called unexplained. It is right while traffic flows.
//
// # How
//
// The four are read one after the other, each as of one instant, and each from a
// later one than the next: what metrics have counted and what the warehouse has
// loaded is then in commits, or will be within a batcher's age.
//
//	cells and positions ─▶ tables, ledger ─▶ commits ─▶ the log's end
//	  (one snapshot)       (one snapshot)    (waits until they reach the metrics' positions)
//
// Rows of commits above a target's position are due, no more and no less: the
// snapshot in which its rows are counted has the position, too. Rows above a
// position of the metric store are not yet counted; where a position lies within
// a file, the file's offsets tell.
//
// verify.go has the order of reading; metrics.go, warehouse.go, lake.go and log.go
// read one of the four each, mirror.go and rows.go what is beside them; balance.go
// is the arithmetic, without I/O, and report.go what is printed.
package verify
