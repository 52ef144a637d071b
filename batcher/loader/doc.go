// Package loader is the role that brings the lake's commits into Redshift. It
// knows batchers only by their objects on S3.
//
// # Promise
//
// Every row of every committed file is in its table once, within the declared
// rule of duplicates; a crash, a lost answer or a second loader at any
// instruction changes nothing of that. Columns are matched by name, and no value
// is narrowed, cut or dropped. One bad table or file holds up no other: what is
// held back is named in millstream.held and loaded in order once mended. The
// truth is S3 and the ledger; both roll back together when the warehouse is
// restored from a snapshot.
//
//	commits ─▶ catalogue ─┐
//	                      ├─▶ gather, groups ─▶ session: widen ─▶ COPY ─▶ [gate │ fence, positions │ rows, positions, history │ COMMIT]
//	ledger ─▶ positions ──┘
//
// # Invariants
//
//  1. Rows, positions and history of a group are written by one transaction.
//  2. The gate is that transaction's first statement that reads; what is read
//     behind it includes the last winner's commit.
//  3. A transaction writes only under the fence of the newest lease and only if
//     its targets stand where the plan began.
//  4. A target's position in a chain is the next of a commit, and a load covers a
//     run of commits without gaps from there.
//  5. Low water passes only commits whose targets are loaded or held, and a held
//     target keeps the first commit that it lacks of each chain.
//  6. Files come into staging tables made from the commit's schema, in file
//     order: COPY maps by position.
//
// # Goroutines
//
// Run takes the lease, then starts two: one renews it on a session of its own,
// one makes waves. A wave runs up to cfg.Connections groups at a time, one
// session each, and waits for them. Loader.gate stands before the server's gate;
// no other lock is taken under it. Ending Run's context begins no new group;
// running ones have DrainTimeout. A lost lease ends the wave at once.
//
// # Failures
//
//	event                                                what happens                                            test
//	connection cut before, after, during any statement   the next wave's plan begins at the ledger               TestCutAtEveryStatement
//	COMMIT sent, no answer, done or not                  positions tell                                          TestCommitOutcomeUnknown
//	an earlier session commits late, under our fence     positions differ behind the gate: planned again         TestEarlierSessionCommitsLate
//	statements and sessions fail at random, two loaders  every row is there once, value for value                TestLoaderModel
//	loaders killed at random, two at times               rows, duplicates and history are as committed           TestKillLoaderModel
//	two loaders                                          one works, the other waits and takes over               TestTwoLoaders
//	a loader wakes after its lease has passed on         it ends at the fence, in both isolation modes           TestZombieLoader
//	a loader falls silent                                its lease ends by the server's clock                    TestSilentLoadersLeasePassesOn
//	1023, deadlock, resize, disk full, racing DDL        planned again, after a wait that fits                   TestRetryClasses
//	a COPY goes on after its client is gone              only into a table that nobody else sees                 TestAutocommitCopySurvives
//	somebody adds the column first                       planned again                                           TestAddColumnRace
//	1,600 columns, long names, odd texts, full widths    limits hold, others go on                               TestWarehouseLimits
//	the table of latest state is dropped                 held until its events are loaded again                  TestDroppedUsersAreNotMadeAnewWithoutTheirRows
//	COPY's role may read nothing, or S3 does not work    nothing is held, the wave backs off, people are told         TestDeniedRoleHoldsNothing
//	COPY may not read one table's files                  its target is held, others go on                        TestDeniedTableIsHeldAlone
//	a table that the catalogue hides                     held at the second try, others go on                    TestTableThatTheCatalogueHidesIsHeldAlone
//	each session ends in the COPY of one file            loaded apart, halved, the file held                     TestFileThatEndsSessionsIsFound
//	each session ends in the rows of one table           loaded apart, held                                      TestTableThatEndsSessionsIsHeldAlone
//	held work that cannot be tried                       its pause grows all the same                            TestHeldWorkThatCannotBeTriedCounts
//	COPY brings other rows than the commits promise      nothing of that file is inserted; it is held            TestCopyCountMismatchAborts
//	one bad file of many                                 named by Redshift, held; the rest is loaded             TestRefusedFileIsNamedByRedshift
//	one that Redshift does not name                      found by halving, held; the rest is loaded              TestPoisonFileBisect
//	a file of a mirror that COPY refuses                 the target is held, the file named                      TestFileThatAMirrorCannotLoadIsNamed
//	a COPY that takes too long                           done in halves; one file alone is held                  TestCopyThatTimesOutIsHalved
//	an INSERT that takes too long                        the next load is half of it                             TestInsertThatTimesOutIsHalved
//	a column made narrower behind the loader's back      the catalogue is read again, once; then held            TestColumnMadeNarrowerSinceTheCatalogueWasRead
//	a held file is mended                                loaded by itself                                        TestMendedFileIsLoadedByItself
//	many files are held that are whole                   one load for those of a table and schema                TestHeldFilesAreTriedTogether
//	a repair whose COMMIT comes late, a skip meanwhile   compared behind the gate, nothing is written            TestRepairIsComparedBehindTheGate
//	a table retyped, or otherwise unfit                  that target is held, others go on                       TestHeldTargetOthersGoOn
//	a held target is mended                              loaded from where it was held, in order                 TestHeldTargetCatchesUpInOrder
//	a table with rows is dropped                         held, not made anew without its rows                    TestDroppedTargetIsHeldNotMadeAnew
//	somebody drops a column that is loaded               it comes again, and people are told                     TestColumnThatCameAgainIsNamed
//	readers keep a table from being altered              put off; after 10 minutes the session is named          TestReadersPutDDLOff
//	somebody reads, changes or locks a table for long    one short wait, then pauses; others go on               TestLockedTargetOthersGoOn
//	many tables are locked                               their waits get shorter in a wave, two at most in all   TestLockedTablesShareOneWait
//	a mirror is locked when its poll is due              put off after a short wait, the session named           TestLockedMirrorPutsItsPollsOff
//	an INSERT waits for somebody's lock                  put off after 30 s; its lock is asked for from then on  TestFirstWaitForALockIsBounded
//	a target is put off until its chain fills memory     held, so that low water passes it                       TestPutOffTargetIsHeldBeforeItsChainIsFull
//	the table's columns have another order               matched by name                                         TestColumnsByNameNotPosition
//	a value longer than its column                       widened before the COPY                                 TestWidenThenLoad
//	a commit is missing                                  its chain stops, others go on                           TestChainGapStopsChain
//	the warehouse is restored from a snapshot            loaded again from there, once                           TestRestoreFromSnapshot
//	a twin in another partition                          one row, one line in duplicates                         TestLateDuplicateIsNamed
//	identifies out of order, null traits                 the newest value that is not null wins                  TestUsersLatestState
//	deletes, re-inserts, key changes in one load         the last offset wins                                    TestMirrorOpsProperty
//	full refresh, cut at statements, writes going on     mirror = origin after the swap                          TestFullRefreshSwap
//	a bounded poll beside other strategies               what came from its start on stays                       TestBoundedKeepsFreshRows
//	polls of several strategies, partitions apart        mirror = origin after the last refresh                  TestMirrorStrategiesModel
//	a swap under a long reader                           put off, loads go on, tried after the next wave         TestSwapWaitsForReaders
//	a view bound to a mirror                             its swap is put off and the view named                  TestBoundViewsPutTheSwapOff
//	a swap; a table that somebody named like ours        privileges follow, the table stays                      TestSwapKeepsGrantsAndOthersTables
//	other rows came than a full poll counted             the old table stays until the next poll                 TestRefreshWithOtherCountsIsLeftOut
//	a column of a mirror gets another type               held until a full poll brings a new table               TestRetypedMirrorIsHeldUntilItsRefresh
//	a column of a mirror gets another name               renamed, its values stay                                TestRenamedColumnKeepsItsValues
//	a file is given up                                   never tried again, named ever after                     TestSkippedFileIsNeverTriedAgain
//	a table is loaded again by hand                      built beside, swapped in one transaction                TestReloadBuildsTheTableAnew
//	somebody has the days' table locked                  waited for in short turns, loads pass                   TestReloadOfDaysWaitsInShortTurns
//	commits come in meanwhile                            loaded too, before the swap                             TestReloadBesideARunningLoader
//	compacted files have rows of held or skipped ones    those are let go in the transaction that loads           TestReloadOfCompactedFilesLetsGoOfWhatTheyHold
//	the loader brings a held file in meanwhile           it comes into the new table too                          TestReloadBringsWhatIsMendedMeanwhile
//	views are bound to a table that is loaded again      refused, before anything is done                        TestReloadRefusesBoundViews
//	a reload by force leaves a file out                  named in held for ever, as skipped                      TestForcedReloadNamesWhatItLeavesOut
//	the lake has lost files                              the table stays as it is                                TestReloadThatWouldLoseRowsIsRefused
//	S3 is away                                           retried, the lease is kept                              TestStoreAwayIsRetried
//	stop                                                 the lease is released                                   TestStopWhileNothingIsDue
//
// # Metrics
//
// All begin with millstream_loader_.
//
//	loads_total{kind, outcome}       loads committed, retried (put off) or held
//	rows_total{op}                   rows staged, inserted, updated, deleted, left out as duplicates
//	retries_total{class}             groups planned again, by what the warehouse or the store said
//	stage_seconds, gate_wait_seconds, transaction_seconds, wave_seconds
//	due_rows{target}                 what no load has brought in yet; the first 200 targets, then other
//	freshness_seconds{target}        newest loaded row's received_at before the newest committed one's
//	oldest_due_seconds               age of the oldest commit with due rows
//	last_success_timestamp_seconds   when the last wave ended well
//	chain_lag_offsets{topic, part}   between low water and the newest commit
//	chain_gaps                       chains that cannot be read on: any alerts
//	held_files, held_targets         any alerts
//	skipped_files_total              files that somebody gave up for good
//	copies_total, copy_bytes_total, bisect_copies_total
//	copy_count_mismatch_total        any alerts
//	columns_added_total, columns_widened_total, tables_created_total
//	lease_held, lease_lost_total
//	swaps_total{outcome}             full refreshes swapped in, put off, given up
//	sequence_violations_total        changes that stand before an earlier read: any alerts
//
// # Non-obvious
//
// Do not read anything between BEGIN and LOCK: the snapshot would be older than
// the last winner's commit, and two loaders would both find their rows absent.
// Do not look at the tables to see whether a load was done twice: the anti-join
// hides it; the history does not. Do not widen inside the transaction: Redshift
// refuses. Do not trust the command tag of COPY. A failed statement ends the
// transaction, not the session: staging tables were made before BEGIN and stay,
// so a group goes on without the load at fault and copies nothing again.
package loader
