// Package serve answers questions about metrics over HTTP, keeps wallboards in
// step over WebSocket, and serves the page that draws them. It reads the metric
// store and the topic of cells, and holds nothing that cannot be read again.
//
// # Promise
//
// After every frame a client's table equals the server's at that sequence
// number, whatever was dropped, delayed, resumed or served by another node.
// Values in between may be skipped, never mixed. Every screen says how fresh it
// is, and heals by itself. A slow client costs memory in the number of its
// views, never of its changes, and slows nobody. Who may not see a row cannot
// obtain it.
//
// # Invariants
//
//  1. A record of cells is taken only if its offset is greater than the one held under its key.
//  2. The follower takes a bucket's records before the store is read for it: a change is in the scan, in the topic or in both.
//  3. A delta leads from the q that the connection was last sent; it is made from the rows, there is no log of changes.
//  4. A connection is written to by the one goroutine that holds its writing flag, and never again after a failed write.
//  5. Locked filters are part of a question's key: two tokens with other locks share neither view nor frame.
//  6. An etag depends on the content alone, so that it is equal on every node.
//
// # Goroutines
//
// Run starts the follower, its healer, the hub's beat, the watcher of boards and
// the HTTP server, and waits for all of them. A connection has one reader; a
// writer is lent to it by its shard while something is dirty. A view's first
// answer is computed in a goroutine of its own, which ends within loadTimeout.
// Locks, in the order in which they may be taken: hub.mu, view.mu, conn.mu,
// shard.mu; held.load before engine.mu, held.mu. No lock is held while the store
// or a socket is waited for, but held.load, which serialises loads.
//
// # Failures
//
//   - change between end offsets, scan and consume, and while a metric is loaded: same table; TestBootstrapHasNoGap
//   - records of cells lost: taken from the store within a round, and counted; TestHealsLostCell
//   - nothing is lost: nothing is healed; TestNothingIsHealedWhereNothingIsLost
//   - records repeated or out of order: ignored; TestDisorderIsHarmless
//   - Kafka away at the start: the store is read every 2 s, ticks say so; TestKafkaAway
//   - one partition of rollup stands: the watermark stands with it, lag grows; TestStalledPartitionShows
//   - frames lost, old, foreign and false states, other nodes, in any order: equal tables; TestProtocolModel
//   - client comes back: delta or ok, here and elsewhere; TestResumeCostsNoSnapshot
//   - client does not keep up: one merged delta; TestSlowClient; reads nothing: cut, neighbours unchanged; TestStuckClient
//   - node stops: clients are told when to come back; TestDrainMovesClients; those who stay are cut; TestDrainEndsThoseWhoStay
//   - another version, or the metric is gone: another view under the same id, or an error; TestVersionFlipOnBoard
//   - a revision that is not sealed yet: invisible; TestLateRevisionIsInvisible
//   - midnight, the nights of the clock change: right bounds, once; TestMidnight, TestDSTNight
//   - a late pipeline: compared at its watermark, not at the clock; TestComparisonStopsAtTheWatermark
//   - hostile frames and floods: closed with the right code; TestHostileFrames; inflating bombs: TestDeflateBomb
//   - a handshake without the subprotocol: refused; TestSubprotocolRequired
//   - a question that makes no sense: an error with code and field, nothing else ends; TestBadQuestionEndsNothingElse
//   - foreign pages, rebinding names: 403, 421; TestOriginMatrix, TestHostRule
//   - a locked token asks for more: 403 or filtered; TestLocksHoldEverywhere; no token: TestSocketWithoutTokenIsRefused
//   - an address that others can reach, and nobody decided who may: no start; TestOpenAddressNeedsADecision
//   - the port is taken: the error names key and address; TestTakenPortNamesItsKey
//   - a broken board file: the last good version stays, the error says where; TestBoardErrors
//
// # Metrics
//
//   - millstream_serve_connections, millstream_serve_connections_total{transport,result}, millstream_serve_closes_total{code}
//   - millstream_serve_view_computations_total{reason}: change, clock, load; millstream_serve_view_seconds, millstream_serve_view_rows
//   - millstream_serve_frames_total{kind}, millstream_serve_frame_bytes_total{kind}: before compression
//   - millstream_serve_frame_cache_hits_total: frames that another client had been sent before
//   - millstream_serve_resumes_total{result}: delta, ok, snap
//   - millstream_serve_page_resyncs_total: deltas that did not fit; alert on it
//   - millstream_serve_write_seconds, millstream_serve_stuck_writes_total, millstream_serve_conflated_total
//   - millstream_serve_watermark_timestamp_seconds, millstream_serve_follower_lag_records {topic,partition}
//   - millstream_serve_last_cell_timestamp_seconds, millstream_serve_cells, millstream_serve_bad_records_total
//   - millstream_serve_loads_total{outcome}, millstream_serve_load_seconds, millstream_serve_store_queries_total
//   - millstream_serve_heals_total: cells that were lost on the way; alert on it
//   - millstream_serve_requests_total{route,status}, millstream_serve_request_seconds{route}
//   - millstream_serve_rejected_total{code}, millstream_serve_auth_failures_total{code}
//   - millstream_serve_boards, millstream_serve_board_errors
//
// # Non-obvious
//
//   - Two ids of one connection on one view share a stream: frames carry no id, so the second delta would not fit. See sub.
//   - States are merged under held.mu: Merge sorts what it reads, so two views must not merge one partial at once.
//   - gorilla accepts a handshake without a common subprotocol, and its read limit counts bytes on the wire; see upgrade and readFrame.
//   - Before closing, read away what the peer has sent: closing with unread bytes resets the connection and the close frame is lost.
//   - Nothing loads older cells again when memory is short: what was asked for stays held until the node restarts.
package serve
