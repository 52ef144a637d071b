package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	millstream "github.com/millstream-data/millstream/sdk/go"
)

// runner does the steps of one input.
type runner struct {
	in       input
	client   *millstream.Client
	before   int           // goroutines, before the client was built
	told     chan struct{} // a token when results have come
	sent     int
	calls    int // the number that $n stands for
	finished bool
	leaks    int

	mu      sync.Mutex
	results []result
	refused map[string]int
	peak    int
	slowest time.Duration

	flushes, closes []drained
	sends           []result
}

type result struct {
	MessageID string   `json:"messageId"`
	Fate      string   `json:"fate"`
	Code      string   `json:"code"`
	Message   string   `json:"message"`
	Attempts  int      `json:"attempts"`
	MS        *float64 `json:"ms,omitempty"`
}

type drained struct {
	OK      bool    `json:"ok"`
	MS      float64 `json:"ms"`
	Queued  int     `json:"queued"`
	Spooled int     `json:"spooled"`
}

func (r *runner) steps() error {
	if len(r.in.Sequences) == 0 {
		return nil
	}
	r.before = runtime.NumGoroutine()
	o, err := r.options()
	if err != nil {
		return err
	}
	if r.client, err = millstream.New(r.in.WriteKey, o); err != nil {
		return err
	}
	for i, s := range r.in.Sequences {
		<-time.After(ms(s.DelayMS))
		if err := r.step(s); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	if !r.finished {
		r.close(5000, 1)
	}
	return nil
}

func (r *runner) step(s step) error {
	switch {
	case s.Events != nil:
		return r.events(s)
	case s.Await != nil:
		r.await(*s.Await, ms(s.Timeout))
	case s.Flush != nil:
		r.flushes = append(r.flushes, r.atOnce(*s.Flush, s.Times, r.client.Flush)...)
	case s.Close != nil:
		r.close(*s.Close, s.Times)
	case s.Send != nil:
		return r.send(s)
	case s.Consent != "":
		state, err := consent(s.Consent)
		if err != nil {
			return err
		}
		r.client.Consent(state, s.Categories)
	case s.Crash:
		r.finished = true
		out, err := r.output()
		if err == nil {
			_, err = os.Stdout.Write(out)
		}
		if err != nil {
			return err
		}
		os.Exit(0) //nolint:forbidigo // the crash that the case asks for
	default:
		return errors.New("holds no step that this program knows")
	}
	return nil
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func since(t time.Time) float64 { return float64(time.Since(t).Microseconds()) / 1000 }

// record is the result callback.
func (r *runner) record(rs []millstream.Result) {
	r.mu.Lock()
	batches := map[string]bool{}
	for _, x := range rs {
		r.results = append(r.results, plain(x))
		batches[x.Fate.String()] = true
	}
	if batches["delivered"] || batches["rejected"] {
		r.sent++
	}
	r.mu.Unlock()
	select {
	case r.told <- struct{}{}:
	default:
	}
	switch r.in.Config.Callback {
	case "throw":
		panic("the callback throws")
	case "block":
		<-time.After(ms(r.in.Config.CallbackMS))
	}
}

func plain(x millstream.Result) result {
	return result{MessageID: x.MessageID, Fate: x.Fate.String(), Code: x.Code, Message: x.Message, Attempts: x.Attempts}
}

func (r *runner) await(n int, timeout time.Duration) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		r.mu.Lock()
		enough := len(r.results) >= n
		r.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-r.told:
		case <-timer.C:
			return
		}
	}
}

// atOnce does f in times goroutines and waits for all.
func (r *runner) atOnce(deadline int64, times int, f func(context.Context) error) []drained {
	out := make([]drained, max(1, times))
	var wait sync.WaitGroup
	for i := range out {
		wait.Add(1)
		go func() {
			defer wait.Done()
			ctx, cancel := context.WithTimeout(context.Background(), ms(deadline))
			defer cancel()
			begun := time.Now()
			err := f(ctx)
			out[i] = drained{OK: err == nil, MS: since(begun), Spooled: r.client.Stats().Spooled}
			var left *millstream.UndeliveredError
			if errors.As(err, &left) {
				out[i].Queued, out[i].Spooled = left.Queued, left.Spooled
			}
		}()
	}
	wait.Wait()
	return out
}

func (r *runner) close(deadline int64, times int) {
	r.closes = append(r.closes, r.atOnce(deadline, times, r.client.Close)...)
	r.finished = true
	for until := time.Now().Add(500 * time.Millisecond); ; <-time.After(5 * time.Millisecond) {
		if r.leaks = max(0, runtime.NumGoroutine()-r.before); r.leaks == 0 || time.Now().After(until) {
			return
		}
	}
}

func (r *runner) output() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	stats := map[string]any{}
	success := true
	if r.client != nil {
		s := r.client.Stats()
		success = s.Delivered == s.Enqueued
		stats = map[string]any{
			"enqueued": s.Enqueued, "delivered": s.Delivered, "rejected": s.Rejected, "dropped": s.Dropped, "handedOver": s.HandedOver,
			"queued": s.Queued, "inFlight": s.InFlight, "spooled": s.Spooled, "retries": s.Retries, "queuedBytes": s.QueuedBytes,
			"coerced": s.Coerced, "callbackErrors": s.CallbackErrors, "droppedByReason": s.DroppedByReason, "lastError": nil,
		}
		if s.LastError != "" {
			stats["lastError"] = s.LastError
		}
	}
	out, err := json.Marshal(map[string]any{
		"success": success, "sentBatches": r.sent, "error": nil, "refused": r.refused, "results": orEmpty(r.results),
		"flushes": orEmpty(r.flushes), "closes": orEmpty(r.closes), "sends": orEmpty(r.sends), "stats": stats,
		"peakQueueBytes": r.peak, "slowestCallMs": float64(r.slowest.Microseconds()) / 1000, "leaks": r.leaks,
	})
	return append(out, '\n'), err
}

func orEmpty[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
