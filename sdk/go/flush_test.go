package millstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"
)

func TestFlushCutsOneBackoffShort(t *testing.T) {
	s := serve(t, status(503, 200))
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 1, BackoffBase: 10 * time.Hour, BackoffMax: 10 * time.Hour})
	track(t, c, "m1")
	eventually(t, "a backoff", func() bool { return c.Stats().LastError != "" })
	if err := c.Flush(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a fate", func() bool { return f.count()["delivered"] == 1 })
}

func TestFlushTellsWhatIsLeftAtItsDeadline(t *testing.T) {
	s := serve(t, status(503))
	c, _ := open(t, Options{Endpoint: s.URL, FlushAt: 1})
	track(t, c, "m1", "m2")
	var left *UndeliveredError
	if err := c.Flush(within(t, 30*time.Millisecond)); !errors.As(err, &left) || left.Queued != 2 {
		t.Errorf("%v", err)
	}
}

func TestFlushDoesNotWaitForTheRestOfItsBatch(t *testing.T) {
	first, rest := make(chan struct{}), make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r request, n int) {
		switch {
		case n == 0:
			<-first
		case len(r.Batch) > 2:
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		case r.Batch[0]["messageId"] == "m3":
			<-rest
		}
	})
	c, _ := open(t, Options{Endpoint: s.URL, FlushAt: 1})
	track(t, c, "m0")
	eventually(t, "a request", func() bool { return len(s.seen()) == 1 })
	track(t, c, "m1", "m2")
	flushed := make(chan error)
	go func() { flushed <- c.Flush(within(t, 5*time.Second)) }()
	eventually(t, "a flush", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.flushTo == 3
	})
	track(t, c, "m3", "m4")
	close(first)
	if err := <-flushed; err != nil {
		t.Error(err)
	}
	close(rest)
}

func TestFlushDoesNotWaitForLaterEvents(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(_ http.ResponseWriter, r request, _ int) {
		if r.Batch[0]["messageId"] == "late" {
			<-release
		}
	})
	c, _ := open(t, Options{Endpoint: s.URL, BatchEvents: 1, FlushAt: 1})
	track(t, c, "m1")
	flushed := make(chan error)
	go func() { flushed <- c.Flush(within(t, 5*time.Second)) }()
	if err := <-flushed; err != nil {
		t.Error(err)
	}
	track(t, c, "late")
	close(release)
}

func TestCloseDrainsThenRefuses(t *testing.T) {
	s := serve(t, status(200))
	c, f := open(t, Options{Endpoint: s.URL, FlushInterval: time.Hour})
	track(t, c, "m1")
	if err := c.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	if f.count()["delivered"] != 1 {
		t.Errorf("%v", f.count())
	}
	if err := c.Track(paid("m2")); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := c.Send(context.Background(), paid("m3")); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestCloseTellsEachLossAtItsDeadline(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(http.ResponseWriter, request, int) { <-release })
	defer close(release)
	c, f := open(t, Options{Endpoint: s.URL, FlushAt: 1, BatchEvents: 1})
	track(t, c, "m1", "m2", "m3")
	eventually(t, "a request", func() bool { return len(s.seen()) == 1 })
	var left *UndeliveredError
	if err := c.Close(within(t, 30*time.Millisecond)); !errors.As(err, &left) || left.Queued != 3 {
		t.Errorf("%v", err)
	}
	if f.count()["dropped closed"] != 3 {
		t.Errorf("told when Close returned: %v", f.count())
	}
}

func TestSendWaitsForItsFate(t *testing.T) {
	s := serve(t, status(503, 200))
	c, _ := open(t, Options{Endpoint: s.URL})
	r, err := c.Send(within(t, 5*time.Second), paid("m1"))
	if err != nil || r.Fate != Delivered || r.MessageID != "m1" || r.Attempts != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	s.turn(func(w http.ResponseWriter, _ request, _ int) {
		_, _ = io.WriteString(w, `{"rejected":[{"index":0,"messageId":"m2","code":"bot"}]}`)
	})
	var fate *FateError
	if r, err := c.Send(within(t, 5*time.Second), paid("m2")); !errors.As(err, &fate) || r.Fate != Rejected || r.Code != "bot" {
		t.Errorf("%+v, %v", r, err)
	}
	s.turn(status(503))
	if r, err := c.Send(within(t, 50*time.Millisecond), paid("m3")); err == nil || r.Fate != Dropped || r.Code != ReasonExpired {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := c.Send(context.Background(), Track{}); err == nil || r.Code != ReasonInvalid {
		t.Errorf("%+v, %v", r, err)
	}
}
