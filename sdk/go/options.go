package millstream

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Version is that of this module, as told in the context of each event and in User-Agent.
const Version = "0.1.0"

const libraryName = "millstream-go"

// Overflow says what a call does while the queue is full.
type Overflow uint8

// What a call does while the queue is full.
const (
	DropNewest Overflow = iota // refuse the event at once: ErrQueueFull
	Block                      // wait up to BlockTimeout for room, then refuse it
)

// Fsync says when events of the spool are safe from a crash of the machine.
type Fsync uint8

// When the spool's files are synced.
const (
	FsyncInterval Fsync = iota // every second; events are written, which saves them from a crash of the process, within 100 ms
	FsyncAlways                // before the call returns; calls at the same time share one sync
	FsyncNever                 // when the operating system likes
)

// Spool makes the queue durable; without a Dir there is none.
type Spool struct {
	Dir      string // may be shared by any number of processes and by Millstream's SDKs of other languages; made if missing
	MaxBytes int64  // of events without a fate; default 64 MiB
	Fsync    Fsync
}

// Middleware changes an event, or refuses it by returning false. It runs within the call, on the caller's goroutine, on
// deep copies of the caller's maps. A panic refuses the event too: a redaction that broke must not leak.
type Middleware func(*Event) bool

// Options of a client. The zero value of each but Endpoint means its default.
type Options struct {
	Endpoint string // address of ingest, such as https://in.example.com; a path in front of /v1/batch may follow

	// OnResult is told the fate of each event that a call has accepted, in groups, one call at a time, from a goroutine
	// of the client's. It may call the client, but not Close. One that blocks holds up no sending; what it misses meanwhile counts as Stats.UntoldResults.
	OnResult func([]Result)
	Logger   *slog.Logger // default slog.Default()

	Context    Map          // laid under each event's own context, one level deep
	Middleware []Middleware // in this order
	Consent    ConsentState // at the start; default ConsentGranted

	FlushAt       int           // send when so many events wait; default 100
	FlushInterval time.Duration // or so long after the first of them; default 1 s
	BatchEvents   int           // at most, in a request; default 500
	BatchBytes    int           // at most, of a request's body before gzip, unless one event alone is larger; default 400 KiB

	QueueEvents  int           // in memory, at most; default 10,000
	QueueBytes   int           // in memory, at most; default 16 MiB
	Overflow     Overflow      // default DropNewest
	BlockTimeout time.Duration // default 1 s

	Timeout     time.Duration // of one request; default 10 s
	MaxAttempts int           // with answers that blame the batch, such as 500; default 10
	MaxAge      time.Duration // of an event; default 1 h, and 7 days in a spool
	BackoffBase time.Duration // after n attempts: random from BackoffBase/5 to BackoffBase·2ⁿ; default 500 ms
	BackoffMax  time.Duration // at most; default 60 s
	DisableGzip bool          // else bodies from 1 KiB on are compressed

	Spool Spool

	Transport http.RoundTripper // for proxies and certificates; default: one of the client's own, closed with it
	Now       func() time.Time  // for tests: the clock of timestamps, sentAt and message ids; delays and ages go on
	NewID     func() string     // for tests: message ids; default UUIDv7

	hooks hooks
}

// Validate returns all that is wrong with o, and how to mend it.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("millstream: "+format, args...)) }
	if u, err := url.Parse(o.Endpoint); o.Endpoint == "" {
		bad("Endpoint is empty: set it to the address of ingest, such as https://in.example.com")
	} else if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		bad("Endpoint is %q: set it to http:// or https:// with a host and at most a path", o.Endpoint)
	}
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"FlushAt", int64(o.FlushAt)},
		{"FlushInterval", int64(o.FlushInterval)},
		{"BatchEvents", int64(o.BatchEvents)},
		{"BatchBytes", int64(o.BatchBytes)},
		{"QueueEvents", int64(o.QueueEvents)},
		{"QueueBytes", int64(o.QueueBytes)},
		{"BlockTimeout", int64(o.BlockTimeout)},
		{"Timeout", int64(o.Timeout)},
		{"MaxAttempts", int64(o.MaxAttempts)},
		{"MaxAge", int64(o.MaxAge)},
		{"BackoffBase", int64(o.BackoffBase)},
		{"BackoffMax", int64(o.BackoffMax)},
		{"Spool.MaxBytes", o.Spool.MaxBytes},
	} {
		if n.value < 0 {
			bad("%s is %d: set it above zero, or leave it out for the default", n.name, n.value)
		}
	}
	if o.Overflow > Block {
		bad("Overflow is %d: set it to DropNewest or Block", o.Overflow)
	}
	if o.Spool.Fsync > FsyncNever {
		bad("Spool.Fsync is %d: set it to FsyncInterval, FsyncAlways or FsyncNever", o.Spool.Fsync)
	}
	if o.Consent > ConsentDenied {
		bad("Consent is %d: set it to ConsentGranted, ConsentPending or ConsentDenied", o.Consent)
	}
	for i, m := range o.Middleware {
		if m == nil {
			bad("Middleware[%d] is nil: leave it out", i)
		}
	}
	return errors.Join(errs...)
}

func validKey(key string) error {
	ok := key != "" && len(key) <= 128 && key != "v1"
	for _, r := range key {
		ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	}
	if !ok {
		return fmt.Errorf("millstream: write key of %d characters: pass 1 to 128 of A-Z, a-z, 0-9, _ and -, as the source's settings show it", len(key))
	}
	return nil
}

func or[T int | int64 | time.Duration](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}

// filled returns o with defaults in place of zero values.
func (o Options) filled() Options {
	o.Endpoint = strings.TrimRight(o.Endpoint, "/")
	o.FlushAt = or(o.FlushAt, 100)
	o.FlushInterval = or(o.FlushInterval, time.Second)
	o.BatchEvents = or(o.BatchEvents, 500)
	o.BatchBytes = or(o.BatchBytes, 400<<10)
	o.QueueEvents = or(o.QueueEvents, 10_000)
	o.QueueBytes = or(o.QueueBytes, 16<<20)
	o.FlushAt = min(o.FlushAt, o.QueueEvents) // or a full queue would wait for the interval
	o.BlockTimeout = or(o.BlockTimeout, time.Second)
	o.Timeout = or(o.Timeout, 10*time.Second)
	o.MaxAttempts = or(o.MaxAttempts, 10)
	if o.Spool.Dir != "" {
		o.MaxAge = or(o.MaxAge, 7*24*time.Hour)
	}
	o.MaxAge = or(o.MaxAge, time.Hour)
	o.BackoffBase = or(o.BackoffBase, 500*time.Millisecond)
	o.BackoffMax = or(o.BackoffMax, time.Minute)
	o.Spool.MaxBytes = or(o.Spool.MaxBytes, 64<<20)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}
