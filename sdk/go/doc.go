// Package millstream sends events to a Millstream ingest server: bounded in memory, with a known fate for each event.
//
// An application makes one [Client] per write key, calls [Client.Track] and its siblings from any goroutine, and calls
// [Client.Close] before it ends. A call never waits for the network. What it accepts ends in exactly one [Fate], of which
// Options.OnResult is told; what it refuses, it refuses by its error.
package millstream
