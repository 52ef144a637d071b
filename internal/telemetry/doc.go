// Package telemetry is how an operator sees a process: the logger, the Prometheus registry, the health of what runs in
// it, and the admin server that shows them.
//
// # Promise
//
// Everything is built by a constructor and handed on; nothing is global, so several instances live in one process.
// /livez answers while the process runs. /readyz answers 200 if the process does its work, perhaps degraded, and 503 if
// it does not; each check says in a sentence what it found. A check that hangs is reported as such and holds nobody up.
//
// # Goroutines
//
// Admin.Run starts the server and waits for it; it ends when ctx does, after the requests in flight or five seconds.
// Health.Report runs the checks side by side; one that outlives its time is left to end by itself, with its context
// cancelled.
//
// # Failures
//
//   - the address is taken: NewAdmin says which, and by which key to change it; TestTakenPortNamesItsKey
//   - a check hangs: it counts as not ready after its time, the others are shown; TestHangingCheckIsReported
//   - a request in flight at the stop: it is finished; TestAdminFinishesRequestsAtStop
//
// # Metrics
//
//   - millstream_build_info{version,revision,goversion}: always 1
//   - go_* and process_*: of the Go runtime and the process
package telemetry
