// Package millstream sends events to a Millstream ingest server: bounded in memory, with a known fate for each event.
//
// An application makes one [Client] per write key with [New], calls [Client.Track] and its siblings from any goroutine,
// and [Client.Close] before it ends.
//
// # Promise
//
// A call never waits for the network, unless Overflow is Block, and never panics. Memory stays within QueueBytes and a few
// buffers of a batch. What a call accepts ends in exactly one [Fate], of which Options.OnResult is told; what it
// refuses, it refuses by its error. The sums of [Stats] are exact at any moment. With a [Spool], what was written
// survives the process, and with FsyncAlways that is what a call has accepted.
//
// # Invariants
//
//  1. An event is encoded within its call, once. Its id and its bytes are the same in every attempt.
//  2. Fates come in the order of the calls, for one batch is in flight at a time and a batch that was too large is sent in
//     halves, the first one first. Only [Client.Send] goes past the queue.
//  3. Every change of queue, flight and spool is booked together with its numbers, under Client.mu.
//  4. Queued events belong to the spool's writer while the spool works, else to the sender; a change of hands is one
//     assignment under Client.mu.
//  5. A group of events leaves the queue when it is written to a segment that still bears its name, and not before.
//  6. A segment is removed when each of its lines has a fate; its position passes no line without one.
//  7. Only the writer changes files; the sender reads them, up to what is booked.
//
// # Goroutines
//
// New starts the sender and, with a spool, the writer; Close waits for them and for Sends. OnResult is called from a
// goroutine that lives while there is something to tell. An idle client without a spool has one goroutine and no timer;
// with one, the writer wakes up every ten seconds to touch its lease. A call locks Client.mu once, for a copy of the
// encoded event. Lock order: Client.mu alone; teller.mu and limiter.mu are taken without it.
//
// # Failures
//
//   - The server answers with anything but 200: TestEachAnswerHasItsFate.
//   - It cuts the answer off, is silent, or answers before it has read: TestAnswerCutBeforeAndAfterReadingIsRetried,
//     TestSilentServerTimesOutAndIsRetried, TestEarlyAnswerDoesNotMixBodies.
//   - It is away: TestMemoryStaysWithinItsBoundWhileTheServerIsAway, TestOldEventsExpireWhileTheServerIsAway.
//   - One event makes it fail: TestPoisonEventDoesNotHoldUpTheNext, Test413HalvesUntilItPassesInOrder.
//   - The queue is full: TestFullQueueRefusesUntilSomethingLeaves, TestBlockEndsAtItsTimeoutAndAtClose.
//   - OnResult panics or blocks: TestCallbackThatPanicsOrBlocksHoldsUpNothing, TestResultsBeyondTheBoundAreCounted.
//   - The process ends before the server takes the events: TestCloseTellsEachLossAtItsDeadline,
//     TestCloseLeavesInTheSpoolWhatTheNextClientSends.
//   - The process crashes, at any step of the spool: TestCrashAfterEachStepLosesNothing.
//   - The disk is full or fails: TestFullDiskMeansMemoryUntilItIsMended, TestFolderThatCannotBeMadeMeansMemory.
//   - A file is damaged or lost: TestTornLineIsCutOffAndBadLinesAreCounted, TestLostFileIsNoSilentLoss.
//   - Another process takes this one for dead: TestOwnerThatStoodStillLosesItsFilesButNoEvent.
//
// # Non-obvious
//
// Encode outside the lock: a caller's MarshalJSON may call the client. Give middleware copies: the maps are the caller's.
//
// Do not reuse a request's buffer before its loan is recalled: a transport may read on after RoundTrip has returned.
//
// Keep to Go 1.22: before 1.23 a stopped timer may still have a tick in its channel, so make a timer for each wait.
//
// Read the position of a dead owner before claiming its segment: once the segment is renamed, a third client may remove
// the position as an orphan.
//
// Believe no clock alone that an owner is dead: wall clocks differ and jump, and machines sleep. Believe no process number
// outside its namespace: in containers all are number 1. Ask living before either: a client of this process is alive.
//
// Keep a segment's file open until its events have a fate: all the same, another process may take it over.
//
// Leave HTTP/2 off: Go keeps a dead connection in its pool for minutes, and sends every retry there.
package millstream
