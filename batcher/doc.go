// Package batcher carries the topic of events and every topic of changes to
// Parquet files on S3, exactly once. It knows nothing of Redshift but the limits
// of its types and names.
//
// # Promise
//
// Every record of a consumed topic is in exactly one commit: as a row, a
// duplicate, a dead letter, a mark, or, where an offset never arrived, a hole.
// S3 alone says what has been done; Kafka's committed offset is a hint and may
// be deleted. A value that does not fit its column is in the row's _unmapped or,
// where it is too large for that, among the dead letters with a digest in the
// row. A column never changes its type.
//
//	poll loop ──records──▶ chain (one a partition): window ─▶ span ─▶ parts ─▶ chunks ─▶ files
//	    ▲                                                       │ cut
//	    └── begins anew what was lost or has failed             ▼
//	                      sealed: build ─▶ dead letters ─▶ put data ─▶ put commit ─▶ Kafka offset
//
// # Invariants
//
//  1. A data object is durable before the commit that names it, and so is every
//     dead letter that the commit counts.
//  2. A commit begins where the one before ends, and is put under a key that
//     says so with If-None-Match: whoever is first is right, the other reads.
//  3. At most one range of a chain is on its way, so commit n+1 is never put
//     before n is acknowledged.
//  4. No data object is deleted or overwritten, whatever fails.
//  5. Where the chain goes on is read from S3 at every assignment and after
//     every loss; no other state outlives an assignment.
//
// # Goroutines
//
// Run polls. Each assignment starts one goroutine that owns the chain's window
// and open range (chain.run); a cut starts one that commits the sealed range, and
// the chain waits for it before it ends. The client's group goroutine calls
// assigned, revoked and lost; records are handed on and chains begun anew only
// while it is blocked (BlockRebalanceOnPoll). Chains tell the governor what they
// hold, on their own goroutines, and it leaves what it asks for in inboxes; while
// it says that a budget is full, chains take nothing from their inboxes and Run
// does not poll, but begins chains anew all the same. Locks are never held
// together, but for Batcher.mu or governor.mu before inbox.mu. Ending Run's
// context stops intake; what is open has DrainTimeout to be committed.
//
// # Failures
//
//	event                                              what happens                                                       test
//	crash before any put                               the range is read again                                            TestCrashBeforePut
//	crash between data and commit                      read again; the data objects stay as orphans                       TestCrashBetweenDataAndCommit
//	crash after the commit, before Kafka's offset      the chain goes on where the commit ends                            TestCrashAfterCommit
//	the commit landed, the answer did not              the retry finds our own attempt                                    TestCommitTimeoutThatLanded
//	a zombie puts after its successor                  it loses, drops its state and goes on behind the winner            TestZombieCannotOverlap
//	a zombie puts before its successor                 the successor loses and goes on behind the zombie's commit         TestSuccessorAdoptsZombieCommit
//	group offsets deleted, or set forward or back      S3 says where the chain is                                         TestGroupOffsetsDoNotMatter
//	partitions move under load                         no gap, no overlap                                                 TestRebalanceUnderLoad
//	a revoke that is slower than its budget            abandoned, the next owner reads it again                           TestRevokeBudgetExceeded
//	the store is slow or away under load               fetching waits, memory stays bounded                               TestSlowStoreBoundsMemory
//	rows fill the memory                               the largest range is cut early                                     TestMemoryBudgetCuts
//	the disk is full                                   intake pauses, ranges are cut smaller until they fit               TestDiskFull
//	partitions move while intake is paused             they are handed over or abandoned, as ever                         TestPartitionsMoveWhilePaused
//	a chain ends while intake is paused                it is begun anew at once                                           TestChainsBeginAnewWhilePaused
//	the store hangs at an assignment                   the member stays in its group; a rebalance ends the search         TestSlowStoreDoesNotEvict
//	two batchers have one spool folder                 the second one does not start                                      TestSpoolIsOfOneBatcher
//	a graceful stop                                    what is open is committed                                          TestDrainCommitsWhatIsOpen
//	all of these at random, with twins                 every offset in one commit, and what the rules make of it          TestChainModel
//	the same to processes on Apache Kafka and real S3  the same, and pyarrow reads the rows as DuckDB does                TestMatrixOnRealServices
//	a commit counts a dead letter                      it is put when Kafka has the letter                                TestCommitWaitsForDeadLetters
//	silence after an event                             cut by age, on the wall clock                                      TestIdleCut
//	duplicate across a restart                         the window is read again from dedup.floor                          TestDedupSurvivesRestart
//	duplicate at the window's edge                     the rule to the offset, with and without a restart                 TestDedupWindowEdge
//	data that is hours late                            a file for each of its hours                                       TestLateDataFewFiles
//	somebody deletes a commit                          the partition stops, nothing is written over                       TestCommitMissingStops
//	the store loses or changes an object               verify names it                                                    TestVerifyFindsLostAndChangedObjects
//	bad JSON, headers, huge numbers, NUL, deep levels  dead letter or _unmapped; the partition goes on                    TestPoisonRecords
//	Kafka no longer has what was not read              a commit of kind loss, and on                                      TestLostOffsetsAreACommit
//	the topic was made anew                            the partition stops, others go on                                  TestRecreatedTopicStops
//	the newest commit is not to be understood          the partition stops, others go on                                  TestUnreadableCommitStopsItsPartition
//	a data key is taken by other bytes                 the file gets a key of its own                                     TestTakenDataKeyIsNotOverwritten
//	the store refuses or is away                       retried for ever, not ready, Kafka keeps the data                  TestForbiddenStorePauses
//	gc removes what nobody names, beside batchers      nothing that a commit names is deleted                             TestGCIsSafeBesideWriters
//	a crash inside a compaction                         its object is missing or whole                                     TestCrashInCompaction
//	two compactors at once                             the first one wins, the other leaves orphans                       TestOfTwoCompactorsOneWins
//	two batchers register a column with two types      the first wins, the other's values are cast                        TestSchemaRace
//	an origin drops, renames or retypes a column       a version of its own, in files of its own                          TestMirrorFollowsItsOrigin
//	a change without its key, or with a value too wide dead letter; the partition goes on                                 TestChangesThatAreNoRows
//	an event source and a mirror have one name         who comes second has dead letters                                  TestOneNameForAnEventTableAndAMirror
//	a value that is too large, alone or in _unmapped   a digest in the row, the whole record among the dead letters       TestValuesTooLargeAreCopied
//	a row beyond what Redshift takes                   dead letter                                                        TestRowsTooLargeAreRejected
//	5,000 event names                                  as many tables as the limit allows; the others in tracks_other     TestEventNameFlood
//	a new column in every record                       a version a freeze, up to the limit of columns                     TestColumnFlood
//	most records of a partition are rejected           it rests for a minute, alerts and goes on                          TestRejectionStormRests
//
// # Metrics
//
// All are named millstream_batcher_…; their help texts say what they mean.
// records_total{topic,outcome} accounts for every offset. Somebody must act when
// verify_failures_total or lost_offsets_total rises, or stopped_partitions is
// not 0. commit_age_seconds is the freshness of the lake.
//
// # Non-obvious
//
//   - Never delete a data object because its commit failed: it may have landed.
//   - Do not commit marked records: the client would commit offsets of partitions
//     that are gone. Offsets come from the chain's own commit.
//   - A new column's values stay as JSON until its type is agreed on (chunk.freeze),
//     and so _unmapped is the last column to be written, and a record of which a
//     value might be too large is kept until then.
//   - The broker's fetch bounds are of compressed bytes: a fetch may hold ten times
//     as much, so the client asks for little at once, and the bound of memory is
//     looked at after every poll.
//   - Do not pause partitions in the client: it throws away what it has buffered,
//     to fetch it again. Who does not poll has paused it as well.
//   - Clear what was taken from a slice of records: one pointer keeps the whole
//     batch that it was decompressed from.
//   - Leave the group also when the drain ran out of time: who does not say goodbye
//     holds its partitions for a session timeout.
//   - Two tables of one shape share an entry of a commit's schemas: a file's own
//     member table decides.
//   - Headers of a dead letter are cut: one that the broker refuses for its size
//     would stop the partition for ever.
//   - An event is read once, for both of its tables: a leaf's path is a node that
//     later events find by their keys, and a chunk knows by the node's number what
//     to do with it (path.go). leaf_test.go has the plain way to compare with.
//   - What a chunk's builders hold is used again only after a full one. One that was
//     written for memory's sake gives it back.
//   - A span's dead letters are sent while it is built; their acknowledgement is
//     part of its commit.
package batcher
