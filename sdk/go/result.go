package millstream

import (
	"errors"
	"fmt"
)

// Fate is how an event ended. Each event has exactly one.
type Fate uint8

// The fates of an event.
const (
	Delivered Fate = iota + 1 // the server has it; a duplicate of what it has is delivered too
	Rejected                  // the server refused it, and Code says why
	Dropped                   // the SDK gave it up, and Code says why
)

// String returns the name that all SDKs use: delivered, rejected or dropped.
func (f Fate) String() string {
	switch f {
	case Delivered:
		return "delivered"
	case Rejected:
		return "rejected"
	case Dropped:
		return "dropped"
	}
	return "unknown"
}

// Reasons of [Dropped], besides http_<status>. Those from closed on are also told by the call itself.
const (
	ReasonMaxAttempts = "max_attempts" // ten answers that blame the batch
	ReasonExpired     = "expired"      // older than MaxAge, or Send's ctx ended
	ReasonSpoolError  = "spool_error"  // a line of the spool was no event
	ReasonClosed      = "closed"
	ReasonConsent     = "consent"
	ReasonQueueFull   = "queue_full"
	ReasonSpoolFull   = "spool_full"
	ReasonTooLarge    = "too_large"
	ReasonInvalid     = "invalid"
	ReasonMiddleware  = "middleware"
)

// Result is the fate of one event.
type Result struct {
	MessageID string
	Fate      Fate
	Code      string // the server's for Rejected, a Reason for Dropped, else empty
	Message   string // for people
	Attempts  int    // requests that held the event
}

// Err returns nil if the event was delivered, else a [*FateError].
func (r Result) Err() error {
	if r.Fate == Delivered {
		return nil
	}
	return &FateError{Result: r}
}

// FateError is [Client.Send]'s error for an event that was rejected or dropped.
type FateError struct{ Result Result }

func (e *FateError) Error() string {
	r := e.Result
	text := fmt.Sprintf("millstream: event %s %s: %s", r.MessageID, r.Fate, r.Code)
	if r.Message != "" {
		text += ": " + r.Message
	}
	return text
}

// What a call returns when it refuses an event. All are final but ErrQueueFull and ErrSpoolFull, which pass when the
// server takes events again.
var (
	ErrQueueFull  = errors.New("millstream: the queue is full: the server is away or slower than the calls; raise QueueEvents and QueueBytes, or set a Spool")
	ErrSpoolFull  = errors.New("millstream: the spool is full: the server is away or slower than the calls; raise Spool.MaxBytes")
	ErrTooLarge   = errors.New("millstream: the event is over 256 KiB: send less in it, or in several")
	ErrClosed     = errors.New("millstream: the client is closed")
	ErrConsent    = errors.New("millstream: consent is denied")
	ErrMiddleware = errors.New("millstream: middleware refused the event")
)

// InvalidError says which member of an event has no place in one, and how to mend it.
type InvalidError struct {
	Field  string // as in the JSON: userId, properties.cart[3].price
	Reason string
}

func (e *InvalidError) Error() string { return "millstream: " + e.Field + " " + e.Reason }

// UndeliveredError is what [Client.Flush] and [Client.Close] return when ctx ended first.
type UndeliveredError struct {
	Queued  int // events without a fate; Close has dropped them as closed
	Spooled int // further events, which are safe in the spool
}

func (e *UndeliveredError) Error() string {
	return fmt.Sprintf("millstream: %d events without a fate in time, %d more in the spool", e.Queued, e.Spooled)
}

// reasonOf is the reason that stands for a refusal in the stats.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, ErrQueueFull):
		return ReasonQueueFull
	case errors.Is(err, ErrSpoolFull):
		return ReasonSpoolFull
	case errors.Is(err, ErrTooLarge):
		return ReasonTooLarge
	case errors.Is(err, ErrClosed):
		return ReasonClosed
	case errors.Is(err, ErrConsent):
		return ReasonConsent
	case errors.Is(err, ErrMiddleware):
		return ReasonMiddleware
	}
	return ReasonInvalid
}

// Stats counts events since New. At any moment
// Enqueued = Delivered + Rejected + Dropped + HandedOver + Queued + InFlight + Spooled.
type Stats struct {
	Enqueued        uint64 // calls and Sends, refused ones too, and events taken over from a spool
	Delivered       uint64
	Rejected        uint64
	Dropped         uint64            // refused calls too
	HandedOver      uint64            // in files of the spool that another process took, or somebody removed, unread
	Queued          int               // in memory, waiting
	InFlight        int               // in a request or between two attempts; not those that are in the spool as well
	Spooled         int               // on disk
	QueuedBytes     int               // of memory: queued and in flight
	Retries         uint64            // requests after the first of a batch
	Coerced         uint64            // NaN and infinities that were sent as null
	CallbackErrors  uint64            // panics of OnResult
	UntoldResults   uint64            // results that OnResult was too slow to be told of
	DroppedByReason map[string]uint64 // by Reason
	LastError       string            // the newest, or empty
}
