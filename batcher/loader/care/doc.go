// Package care looks after the warehouse's tables by night, beside the loader
// that has the lease. Redshift's own automatic vacuum, sort and analyze stay on;
// care does what they left.
//
// # Promise
//
// Within the window and at no other time, one act at a time and outside
// transactions: rows that were deleted are reclaimed, tables sorted, statistics
// and encodings brought up to date, small tables copied to all nodes and grown
// ones spread, the ledger's old history removed, and side tables dropped that a
// killed build or refresh left. Only tables that the ledger names are touched,
// never one that is held, and of side tables only those that the loader's user
// owns. Each act, done or failed, is a line of millstream.maintenance.
//
//	svv_table_info ─┐
//	ledger ─────────┼─▶ Decide ─▶ acts, each with its reason ─▶ one by one ─▶ millstream.maintenance
//	maintenance ────┘
//
// # Invariants
//
//  1. Decide is a function of facts: no clock, no server.
//  2. An act is tried once a window, whatever became of it: what is not cured by
//     it would else be tried until the window ends.
//  3. What has been done is known by millstream.maintenance alone, so a restart
//     goes on where the last one ended.
//  4. A table is asked for again behind each act: it may have been held since.
//
// # Goroutines
//
// Run starts none. The end of its context, which the loss of the lease is too,
// cancels the running statement.
//
// # Failures
//
//	event                                            what happens                                   test
//	killed in the middle of an act                   the session ends and the act with it; nothing is noted, it is tried again   TestActsSurviveAKill
//	an act fails                                     noted with Redshift's words, the next one goes on                           TestFailedActIsNotedAndTheRestGoesOn
//	the window ends in the middle of an act          the act is cancelled, noted, and tried in the next window                   TestWindowEndsAnAct
//	a target is held between decision and act        left alone                                                                   TestHeldTargetIsLeftAlone
//	svv_table_info may not be read                   the ledger is trimmed all the same; the log names the GRANT                  TestWithoutTableInfo
//	an analyst's table is called x__old              stays, unless x is a target and the loader owns it                           TestOnlyForgottenTablesAreDropped
//	a poll still fills its work table                the table stays                                                              TestOnlyForgottenTablesAreDropped
//
// # Metrics
//
//	millstream_loader_maintenance_total{act, outcome}     acts done and failed
//	millstream_loader_maintenance_seconds{act}            how long they took
//
// # Non-obvious
//
// Do not run ANALYZE COMPRESSION on the table itself: it locks it exclusively.
// Do not judge a small table by svv_table_info.size: a table of one row takes a
// block of 1 MB a column and slice. Do not trim the newest load with files of a
// target from the history: the loader would take its dropped table for one that
// never was.
package care
