package cdc

// faults breaks single rules, so that TestMutations can show that a test
// notices: a rule that may be broken unseen is not tested. The zero value
// breaks none, and only tests set another.
type faults struct {
	noSlack       bool // h = raw: a backend may stand between reading its clock and taking its lock
	firstAtT0     bool // unknown transactions of a first sample are bounded by its clock, not by the state
	noPredecessor bool // a chained transaction is bounded by its own first sight
	noClockStep   bool // a clock that is set back goes unnoticed
	lateSample    bool // a poll's horizon is of a sample behind its first page
	idAtMax       bool // the largest id becomes the cursor at once
	preparedFirst bool // postgres: prepared transactions are listed before the open ones, from which they come
	writtenLSN    bool // postgres: a standby is waited for to the written position instead of the inserted one
	unwrapped     bool // postgres: transaction ids are compared as numbers
	unlockedPage  bool // postgres: a page takes its snapshot without having locked the table

	noProcessMemory  bool // mysql: a new transaction is bounded by the last sample, whatever its thread ran then
	transactionFirst bool // mysql: transactions are listed before running statements, from which they come
	noOwnRow         bool // mysql: a list of transactions is believed without one's own in it
}
