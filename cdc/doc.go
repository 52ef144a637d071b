// Package cdc reads changed rows of PostgreSQL, MySQL, MariaDB and SQLite by plain SELECT, and
// publishes them to a topic for each table in Debezium's envelope. It needs no
// log access, no triggers and no writes.
//
// # Promise
//
// At every published complete_through of a table, what was published for each
// key is at least as new as what all transactions that began before it left, for
// the kinds of change that the table's strategies see (docs/cdc.md has the table
// of what it does not see). For each key the order of offsets is the order of
// reads. A crash anywhere neither loses a row nor publishes a version twice from
// one strategy. A value is carried exactly, or replaced by a declared rule,
// counted and told in source.adjusted; a column without a mapping does not exist,
// and what cannot be read rightly stops its table with a reason.
//
//	origin ◀─look─ sampler ──horizon──▶ reader ──page──▶ slot's loop ──rows, marks, cursors──▶ one Kafka transaction
//	       ◀─SELECT─────────────────────┘ ▲                 │ overlap: what is known is not published again
//	                                      └── schedule ◀────┘
//
// # Invariants
//
//  1. A poll's sample has ended before the snapshot of its first page is taken:
//     the other way round a transaction could commit between the two.
//  2. Rows, marks and the cursors behind them are in one Kafka transaction, and a
//     page is never in two. Any error of Kafka ends the slot: the state topic tells
//     its successor what happened.
//  3. A takeover first fences out the earlier producer, then reads the state
//     read_committed to the end: nothing but orders follows what it has read.
//  4. A page is read and handed over under its table's publish lock, so for each key the
//     order of offsets is the order of snapshots, whatever strategies run.
//  5. A page is read under the definition that the plan was made for, which its own
//     transaction compares, or it is dropped whole.
//  6. A published watermark is never lowered.
//
// # Goroutines
//
// Run joins the consumer group; the group client's own goroutine calls start and
// leave. Each lease runs Role.own, whose slot.run is a loop that owns the state
// of all its tables; it starts at most connections.max readers, which touch only
// their copy (job) and send an outcome; a stream waits until each page was taken.
// Beside them one follows the orders in the slot's partition, and one asks how busy
// the origin is. The sampler of a source is shared by its slots and readers under
// its mutex. Locks (Role.mu, status.mu, sampler.mu, pgOrigin.mu, txn.mu) are never
// held together, but for sampler.mu before pgOrigin.mu. The end of Run's context
// ends dispatching; pages being read are committed within group.drain_timeout.
//
// # Failures
//
//	event                                                    what happens                                              test
//	crash before, between and after rows, cursors, commit    the successor aborts it and goes on at the stored page    TestKillAtEveryStep
//	kills at random under a writer                           no gap, no repetition                                     TestSQLiteKillModel
//	a commit whose answer is lost, or that fails             taken over anew; the topic tells                          TestCommitOutcomeUnknown
//	a process sleeps through its replacement                 fenced; nothing of it is published                        TestZombieIsFenced
//	several slots, in one process and in several             each table has one writer; the topic's number wins        TestSlots
//	a graceful stop                                          the page being read is committed                          TestGracefulStop
//	a load is interrupted                                    each range goes on behind its last committed page         TestLoadGoesOn, TestLoadInRanges
//	a load begins before older transactions have ended       what was read before is read once more                    TestLoadReadsEarlyRangesAgain
//	rows go, or change without a stamp                       a replacing poll; fresh rows go out in between            TestFullReplace, TestFullReplaceBesideFreshRows, TestBoundedReplace
//	the newest rows of a window of integers go               the window's end is remembered                            TestBoundedReplace
//	a table without a key                                    read whole in one snapshot, begun anew after a crash      TestKeyless
//	one strategy publishes what another remembers            its memory follows                                        TestTwoStrategies
//	a strategy is added, or means something else             it begins at the table's anchor, or the load runs again   TestStrategyAddedLater
//	a transaction is open across polls                       the watermark waits, its rows arrive                      TestSQLiteHorizon, TestLongTransaction, TestMariaDBLongTransaction
//	a prepared transaction; an id that commits late          likewise                                                  TestPreparedTransactions, TestLateID
//	chained transactions, clock set back, restarts           no commit below the horizon                               TestHorizonModel, TestProcessHorizonModel, TestChainedTransactions
//	a monitor keeps the list of transactions stale           the sample fails, and the horizon stays                   TestStaleTransactionList
//	a statement waits before InnoDB hears of it              bound by the process list before                          TestStatementOlderThanTransaction
//	a page meets ALTER or TRUNCATE on MariaDB                they wait for it: its definition is locked                TestMariaDBRewriteIsNeverAnEmptyTable
//	MariaDB ends our sessions, also in mid-page              connected anew; nothing is lost                           TestMariaDBSessionsAreKilled
//	random transactions, kills, zombies, all strategies      at every watermark what was promised is in the mirror     TestTorture
//	updates without a stamp, wraparound (postgres, xmin)     every row version comes, in circular order                TestXminSeesEveryVersion, TestXminOrder
//	rewrite or TRUNCATE between BEGIN and page               LOCK first: the page waits, and is dropped                TestRewriteIsNeverAnEmptyTable
//	a standby lags, cancels a page, is promoted              pages wait; come again; are refused                       TestReplicaGate, TestRecoveryConflict
//	whole-second stamps, many equal stamps                   >= and keyset; known versions are not repeated            TestCoarseStamps, TestManyTies
//	rows without a stamp, or with one from the future        counted daily; read by each poll if wanted                TestNullStamps, TestCountsWhatStampsDoNotShow
//	a long transaction makes overlaps long                   most polls read new values only, cursors wait            TestFastPolls, TestShareOfKnownRows
//	a row becomes again what it was                          published again                                           TestRowThatReturns
//	column added, dropped, renamed; table missing            new version, backfill, or the table stops                 TestSQLiteSchemaEvents, TestPostgresSchemaEvents, TestMariaDBSchemaEvents
//	column retyped; table rewritten or created again         read whole, swapped in the warehouse                      TestSQLiteSchemaEvents, TestMariaDBSchemaEvents
//	key changed                                              the table stops until an order reloads it                 TestOrders
//	another server; failover                                 stops; cursors go back, deletes are looked for            TestOtherServer, TestFailoverRewinds
//	orders: reload, pause, resume, accept, forget            obeyed when nobody reads the table, once                  TestOrders
//	no key, stamps that do not sort                          the table stops with the way out                          TestSQLiteSchemaEvents
//	a value without a counterpart, or too large              adjusted, told, counted, copied to the dead letters       TestSQLiteTypes, TestPostgresTypes, TestMariaDBTypes, TestMariaDBRandomValues
//	a grant is missing                                       the table stops, and is read once it is given             TestLeastPrivilege, TestMariaDBLeastPrivilege
//	a page fails, times out or has another fingerprint       dropped whole, read again from the last key, smaller      TestPageIsAllOrNothing, TestPageShrinks, TestPageBytes
//	Kafka is away or slow                                    no page begins, so no snapshot is held                    TestKafkaAwayHoldsNoSnapshot
//	the lease moves during a load                            pages are committed, each range goes on                   TestRebalanceDuringLoad
//	more is due than can be read                             by class; of ten pages one to whom waits longest          TestStarvation, TestPublishLock
//	the origin is busy, or its standby lags                  reconcile, full polls and loads are paused                TestGuardPausesThePatient
//	the origin is away                                       the breaker opens; health says so; on from the last key   TestOriginAwayAndBack
//	deletes and updates without a stamp                      found by diff and reconcile                               TestDiffFindsDeletesAndSilentUpdates, TestReconcile, TestBoundedDiff
//	a row comes and goes between two digests; its key moves  its range is dirty; d and c, the last offset is right     TestDirtyRange, TestKeyChange
//	keys that the store does not order as the server         they are looked for one by one                            TestCollatedKeys, TestReconcileKeys
//	the key store is lost, torn, or behind Kafka             read in or rebuilt from the topic, no delete missed       TestKeyStoreRebuild, TestDiffKillModel
//	a bad configuration                                      refused, each rule with its message                       TestConfig
//
// # Metrics
//
// All are named millstream_cdc_…; their help texts say what they mean.
// complete_through_age_seconds{source,table} is the freshness to alert on,
// stopped_tables{source} and breaker_open{source} want somebody to act when they
// are not 0, and horizon_age_seconds{source,method} shows a transaction that
// holds everything back.
//
// # Non-obvious
//
//   - Never compare ids or stamps outside the origin: the flags keep and past of a
//     page are columns of its SELECT, since only the server orders its own values.
//   - The overlap remembers the last version of a key, not a set of versions: where
//     the version is a hash, a row may become again what it was.
//   - MySQL and MariaDB show an old list of transactions under a monitor, and in it
//     our own session as it was when it asked before: only the text of the very
//     statement that asks proves that the list is fresh.
//   - TRUNCATE leaves create_time as it is on MariaDB. Ids of tables tell, for whom
//     has PROCESS.
//   - A new column with a default changes no xmin, so a backfill publishes what the
//     overlap knows.
//   - A poll that found nothing and remembers nothing is not stored: an older cursor
//     with its own overlap is as good, and an idle table costs Kafka nothing.
//   - What is written makes a range dirty, so the digest of a range is stored after
//     the keys that were read with it, in the same batch.
//   - A page passes the key store by until the replay has ended; the last round of
//     it has the table to itself, or it would never catch up.
//   - until must lie beyond every next lo by more than a dialect rounds stamps, or a
//     full page would end a poll before rows that no later poll reads.
package cdc
