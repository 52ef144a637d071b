// Command bench shows what the SDK does while its server is away: it calls Track at a rate against an address at which
// nobody listens, prints memory and numbers, then lets a server listen there and waits until the queue is empty.
//
//	bench -calls 3600000 -rate 20000     an hour of 1,000 events/s in three minutes
//	bench -spool DIR                     the same with a spool
//	bench -endpoint URL -key KEY         instead: -calls events into a real server, as fast as it takes them
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"

	millstream "github.com/millstream-data/millstream/sdk/go"
)

func main() {
	calls := flag.Int("calls", 3_600_000, "events")
	rate := flag.Int("rate", 20_000, "calls a second while the server is away")
	quiet := flag.Duration("quiet", 20*time.Second, "time without calls, in which the CPU time of retries is measured")
	dir := flag.String("spool", "", "folder of a spool")
	endpoint := flag.String("endpoint", "", "measure this server instead")
	key := flag.String("key", "bench", "write key")
	flag.Parse()
	o := millstream.Options{Endpoint: *endpoint, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Spool: millstream.Spool{Dir: *dir}}
	var err error
	if *endpoint != "" {
		err = drive(*key, o, *calls)
	} else {
		err = away(*key, o, *calls, *rate, *quiet)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:forbidigo // main
	}
}

// event is the standard one: five scalar properties, about 300 bytes.
func event(i int) millstream.Track {
	return millstream.Track{UserID: "user-184467", Event: "Order Completed", Properties: millstream.Map{
		"order_id": "50314b8e9bcf", "total": 27.5, "currency": "EUR", "items": i, "first": true,
	}}
}

// drive sends n events and waits until the server has them.
func drive(key string, o millstream.Options, n int) error {
	o.Overflow, o.BlockTimeout = millstream.Block, time.Minute
	c, err := millstream.New(key, o)
	if err != nil {
		return err
	}
	begun, before := time.Now(), cpu()
	for i := range n {
		if err := c.Track(event(i)); err != nil {
			return err
		}
	}
	if err := c.Close(context.Background()); err != nil {
		return err
	}
	took, s := time.Since(begun), c.Stats()
	fmt.Printf("%d delivered, %d rejected, %d dropped, %d retries in %.2f s: %.0f events/s, %.2f s of CPU\n",
		s.Delivered, s.Rejected, s.Dropped, s.Retries, took.Seconds(), float64(n)/took.Seconds(), (cpu() - before).Seconds())
	return nil
}

// away is the hour without a server.
func away(key string, o millstream.Options, calls, rate int, quiet time.Duration) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	o.Endpoint = "http://" + address
	base := heap()
	c, err := millstream.New(key, o)
	if err != nil {
		return err
	}
	fmt.Printf("queue bound 16.0 MiB and 10,000 events; the heap grew by MiB:\n")
	refused, peak := 0, 0.0
	begun := time.Now()
	for i := range calls {
		if err := c.Track(event(i)); errors.Is(err, millstream.ErrQueueFull) || errors.Is(err, millstream.ErrSpoolFull) {
			refused++
		} else if err != nil {
			return err
		}
		if i%(rate/100+1) == 0 {
			<-time.After(time.Until(begun.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		}
		if i%(calls/10) == calls/10-1 {
			grown := heap() - base
			peak = max(peak, grown)
			s := c.Stats()
			fmt.Printf("%9d calls  heap +%.1f  refused %d  queued %d  in flight %d  spooled %d  retries %d\n", i+1, grown, refused, s.Queued, s.InFlight, s.Spooled, s.Retries)
		}
	}
	before := cpu()
	<-time.After(quiet)
	fmt.Printf("retries alone: %.2f %% of a core over %v\n", 100*(cpu()-before).Seconds()/quiet.Seconds(), quiet)
	s := c.Stats()
	if s.Enqueued != uint64(calls) || s.Dropped != uint64(refused) || s.Queued+s.InFlight+s.Spooled != calls-refused {
		return fmt.Errorf("the sums are wrong: refused %d, %+v", refused, s)
	}
	first, err := listen(address)
	if err != nil {
		return err
	}
	_ = c.Flush(cancelled()) // cuts the backoff, which is up to a minute by now
	at := <-first
	for c.Stats().Delivered < uint64(calls-refused) {
		<-time.After(time.Millisecond)
	}
	fmt.Printf("all %d kept events delivered %.2f s after the first 200; the heap had grown by %.1f MiB at most\n", calls-refused, time.Since(at).Seconds(), peak)
	return c.Close(context.Background())
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// heap is what is live on it, in MiB.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

func freeAddress() (string, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// listen answers 200 to everything at address, and tells when it has done so first.
func listen(address string) (<-chan time.Time, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	first := make(chan time.Time, 1)
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"success":true}`)
		select {
		case first <- time.Now():
		default:
		}
	})}
	go func() { _ = server.Serve(l) }() // until the program ends
	return first, nil
}
