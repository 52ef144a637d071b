// Package redshift is the local Redshift: the PostgreSQL wire protocol over an embedded DuckDB, for one laptop. It
// runs the statements that the loader and its analysts send to a cluster, and fails where a cluster fails, with the
// cluster's own codes and words, so that what works here works there.
//
// A statement passes through the files in this order: server.go and conn.go (protocol) → session.go (transaction
// state) → lex.go and classify.go (tokens, kind) → locks.go → rewrite.go, functions.go, ddl.go, dml.go (Redshift's SQL
// into DuckDB's) → DuckDB. copy.go reads manifests through [Objects]; catalog.go is what psql and drivers ask for;
// errors.go holds Redshift's words; faults.go breaks things on purpose.
//
// # Invariants
//
//  1. A statement that the front does not know is refused, never passed on in the hope that it means the same.
//  2. Locks come before the snapshot: DuckDB's transaction opens at the first statement that touches data, after its
//     locks are held, so what is read behind a LOCK includes the last winner's commit.
//  3. Nothing of a statement is answered as done before DuckDB has synced its commit, except inside a transaction.
//  4. An error puts the transaction into the failed state, also where DuckDB would go on; COMMIT then rolls back.
//
// # Goroutines
//
// psql-wire runs one goroutine a connection, which owns the session and its DuckDB connection. Cancel requests come in
// on other connections and only end the session's statement context. A commit that fails starts Server.reopen, which Run
// and Close wait for. Lock order: Server.writing, then entry, then mu, then lockTable.mu; a session waits for a table lock
// holding none of them.
//
// # Failures
//
//   - kill -9 at any moment: what was committed is there, the rest is gone as a whole; TestLocalRedshiftKill
//   - a power cut that tears the log's last entry: it is cut; TestTornLogTailIsCut
//   - a commit that the full disk refuses: all sessions end (53100 for its own, then 57P03 for new ones) and the database
//     is opened anew from its file and log, again each second until there is room; TestFullDiskLosesAndSpoilsNothing
//   - a statement that panics: XX000 for it, the session and the process go on; FuzzStatement
//   - an error in a transaction: E until ROLLBACK, COMMIT rolls back; TestLocalRedshiftAbort, TestAbortInExtendedProtocol
//   - DDL undone: registry and DuckDB agree; TestDDLRollsBack
//   - lost client: its locks are freed and its transaction undone, a fault can let its statement finish; TestLocalRedshiftLocks, TestFaults
//   - deadlock, time-out, cancel: 40P01, 57014; TestLocalRedshiftLocks, TestCancelInterrupts
//   - overtaken at the serializable level: 1023; TestSerializableRefusesWhatWasOvertaken
//   - bad manifest or file: Redshift's code, nothing loaded, the file named in sys_load_error_detail; TestCopyManifestFailures
//   - a second server on the folder: an error that names the holder; TestSecondServerNamesTheHolder
//   - wrong login, too many sessions: FATAL; TestLoginRefusals
//   - built without cgo: FATAL to everyone, with the way out; TestWithoutCgoEveryConnectionIsToldWhy
//
// # Non-obvious
//
// Write nothing after a COMMIT that DuckDB refused: its memory glues the texts that it took back to the next ones
// (reopen.go). Close no database with a checkpoint of what is in memory then.
//
// psql-wire describes every statement of a simple query before it runs any, so the parse callback runs them all and
// the statements that it returns only play results back. DuckDB's driver decodes JSON into Go values and so loses
// digits: SUPER leaves DuckDB as VARCHAR, through an outer SELECT. Two openings of one file in one process share a
// database silently, hence the lock file beside it.
package redshift
