// Package rollup counts events into the cells of declared metrics, exactly once.
//
// # Promise
//
// A metric is a function of the log: for the offsets in the metric store every
// cell holds exactly the records below them that match its definition and are
// not duplicates. A crash, pause, rebalance or lost answer changes nothing of
// that, and the same log gives the same bytes. What is in the store reaches the
// topic of cells, whoever has to send it.
//
// # Invariants
//
//  1. Cells and position move in one transaction, which compares position and fence before it swaps them.
//  2. A dead letter is acknowledged before the commit that passes its record.
//  3. A cell is published only after its commit; a crash between the two is healed by the next owner.
//  4. Reading starts at the duplicate window's floor, and records below the position feed the window only.
//  5. After an unknown outcome nothing is written before Reclaim has said what became of it.
//
// # Goroutines
//
// Run starts the publisher, the watcher of definitions and the one that asks
// for the log's end, polls in its own goroutine and waits for all of them.
// Callbacks of the Kafka client start one worker a partition; revoked, lost and
// stopAll end workers and wait for them. A worker owns its window, deltas and
// cells; other goroutines reach only its queue, its channels and committed.
// Locks are leaves: Rollup.mu, queue.mu, publisher.mu and trouble.mu are never
// held while another is taken, but queue.mu while the client pauses a partition.
//
// # Failures
//
//   - crash before COMMIT: read again from the position; TestKillBeforeCommit
//   - crash after COMMIT, before publishing: the next owner publishes; TestKillBetweenCommitAndPublish
//   - the answer of a COMMIT is lost, or the request was: claimed again, then known; TestCommitOutcomeUnknown
//   - a worker sleeps through its successor's work and wakes: fenced, nothing written; TestZombieIsFenced
//   - partitions change hands under load: flushed before the heir reads; TestRevokeFlushesBeforeTheHeirReads
//   - all of it at once, by chance: cells equal a naive reading of the log; TestOracle
//   - a twin at the window's edge, across a restart: one decision, the log's; TestDedupWindowEdge
//   - another duplicate window is configured than the store was filled under: refused, both named; TestOtherDedupWindowIsRefused
//   - store away: counting goes on to the bound, then fetching pauses; not ready; TestStoreAwayPauses
//   - broken JSON, absurd numbers, no headers: rejected or bad, the partition goes on; TestPoisonRecords
//   - an app's clock is in 1970 or 2099: counted when received; TestClockClamp
//   - nothing comes: the watermark moves all the same; TestIdlePartitionIsComplete
//   - definitions change: a new version counts from there on; TestChangedDefinitionCountsFromHereOn
//   - definitions are broken: the set in force stays; TestBrokenFileKeepsSet; without one Run ends; TestNoDefinitionsStops
//   - the topic was made anew: its partitions wait, the message names the mend; TestRecreatedTopicStops
//   - Kafka deleted records before they were counted: counted as lost, the rest goes on; TestDeletedRecordsAreCountedAsLost
//   - the broker is away: what waits is one value a cell, and it arrives later; TestPublishConflates
//   - stop: flushed and published when Run returns; TestDrain
//
// # Metrics
//
//   - millstream_rollup_records_total{topic,outcome}: applied, unmatched, duplicate, rejected, window (read for the window only)
//   - millstream_rollup_rejected_total{code}: dead letters
//   - millstream_rollup_events_total{metric}, millstream_rollup_bad_values_total{metric}: counted, and without a usable value
//   - millstream_rollup_sum_overflow_total{metric}: additions refused; alert on it
//   - millstream_rollup_clock_adjusted_total{kind}: future, past
//   - millstream_rollup_flush_seconds, millstream_rollup_flush_cells, millstream_rollup_flushes_total{reason}
//   - millstream_rollup_commits_total{outcome}: committed, fenced, unknown_landed, unknown_lost
//   - millstream_rollup_lag_offsets, millstream_rollup_lag_seconds, millstream_rollup_watermark_timestamp_seconds,
//     millstream_rollup_last_commit_timestamp_seconds {topic,partition}
//   - millstream_rollup_publish_pending, millstream_rollup_publish_errors_total, millstream_rollup_cell_cache_misses_total
//   - millstream_rollup_memory_bytes{kind}: fetch, deltas, cells
//   - millstream_rollup_window_rebuild_seconds, millstream_rollup_window_incomplete_total{topic,partition}
//   - millstream_rollup_lost_offsets_total{topic,partition}: alert on it
//   - millstream_rollup_definitions_set, millstream_rollup_definition_errors_total, millstream_rollup_rebalances_total{event}
//
// # Non-obvious
//
//   - Never read Kafka's committed offsets: they are a hint for lag tools, and a replay would count twice by them.
//   - Never join the group before definitions are in force: partitions come at once, in the client's goroutine.
//   - A new store begins at the start of the log. There is no backfill from the lake yet with which it would have to agree;
//     when there is one, the first position becomes that of the newest commit of the batcher's chain.
//   - A version that is new to a partition starts at that partition's position, and the start is committed before or with its first cell.
//   - Rows carry rev 1: no day is sealed yet.
package rollup
