package main

import (
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	millstream "github.com/millstream-data/millstream/sdk/go"
	"github.com/millstream-data/millstream/sdk/go/internal/knob"
)

func (r *runner) options() (millstream.Options, error) {
	in := r.in.Config
	o := millstream.Options{
		Endpoint: r.in.APIHost, OnResult: r.record, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		FlushAt: in.FlushAt, FlushInterval: ms(in.FlushInterval), BatchEvents: in.BatchEvents, BatchBytes: in.BatchBytes,
		QueueEvents: in.QueueEvents, QueueBytes: in.QueueBytes, BlockTimeout: ms(in.BlockTimeout),
		Timeout: ms(in.Timeout), MaxAge: ms(in.MaxAge), BackoffBase: ms(in.BackoffBase), BackoffMax: ms(in.BackoffMax),
		DisableGzip: in.Gzip != nil && !*in.Gzip,
	}
	if in.MaxRetries != nil {
		o.MaxAttempts = *in.MaxRetries + 1
	}
	if in.RetryAfterScale != nil {
		knob.RetryAfterScale = *in.RetryAfterScale
	}
	switch in.Overflow {
	case "", "drop_newest":
	case "block":
		o.Overflow = millstream.Block
	default:
		return o, fmt.Errorf("overflow %q is unknown", in.Overflow)
	}
	o.Spool = millstream.Spool{Dir: in.SpoolDir, MaxBytes: in.SpoolBytes}
	switch in.SpoolFsync {
	case "", "interval":
	case "always":
		o.Spool.Fsync = millstream.FsyncAlways
	case "never":
		o.Spool.Fsync = millstream.FsyncNever
	default:
		return o, fmt.Errorf("spoolFsync %q is unknown", in.SpoolFsync)
	}
	var err error
	if o.Consent, err = consent(in.Consent); err != nil {
		return o, err
	}
	for _, name := range in.Middleware {
		m, err := middleware(name)
		if err != nil {
			return o, err
		}
		o.Middleware = append(o.Middleware, m)
	}
	return o, fix(&o, r.in)
}

// fix freezes clock and ids.
func fix(o *millstream.Options, in input) error {
	if in.Fixed.Now != "" {
		now, err := time.Parse(time.RFC3339, in.Fixed.Now)
		if err != nil {
			return fmt.Errorf("fixed.now: %w", err)
		}
		o.Now = func() time.Time { return now }
	}
	if in.Fixed.MessageIDs {
		var n atomic.Int64
		o.NewID = func() string { return fmt.Sprintf("00000000-0000-7000-8000-%012d", n.Add(1)) }
	}
	return nil
}

func consent(state string) (millstream.ConsentState, error) {
	switch state {
	case "", "granted":
		return millstream.ConsentGranted, nil
	case "pending":
		return millstream.ConsentPending, nil
	case "denied":
		return millstream.ConsentDenied, nil
	}
	return 0, fmt.Errorf("consent %q is unknown", state)
}

func middleware(name string) (millstream.Middleware, error) {
	switch name {
	case "drop_email":
		return func(e *millstream.Event) bool {
			delete(e.Properties, "email")
			delete(e.Traits, "email")
			return true
		}, nil
	case "refuse":
		return func(e *millstream.Event) bool { return e.Event != "Refused" }, nil
	case "throw":
		return func(e *millstream.Event) bool {
			if e.Event == "Thrown" {
				panic("the middleware throws")
			}
			return true
		}, nil
	}
	return nil, fmt.Errorf("middleware %q is unknown", name)
}
