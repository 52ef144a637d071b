package batcher

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/wire"
)

// env is what all chains of a batcher share. Everything in it is safe for
// concurrent use.
type env struct {
	cfg      Config
	dedup    dedup.Config
	version  string
	lake     *lake.Lake
	topics   wire.Topics
	client   *kgo.Client
	log      *slog.Logger
	metrics  *metrics
	registry *registry
	names    *lake.Namer
	rules    *rules
	shapes   shapes
	ratios   ratios
	fileSeq  atomic.Int64
	store    storeHealth
	governor *governor
	pauses   pauses
}

// ratios remembers what a raw byte of a table takes in a file.
type ratios struct {
	mu sync.Mutex
	m  map[string]float64
}

func (r *ratios) of(table string, otherwise float64) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v, ok := r.m[table]; ok {
		return v
	}
	return otherwise
}

func (r *ratios) set(table string, v float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m == nil {
		r.m = map[string]float64{}
	}
	r.m[table] = v
}

// storeHealth knows which calls the store does not take, and since when.
type storeHealth struct {
	mu      sync.Mutex // guards refused
	refused map[string]refusal
}

type refusal struct {
	since time.Time
	err   error
}

// set notes what the store said to a call; nil if it took it, or nobody asks any more.
func (h *storeHealth) set(call string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		delete(h.refused, call)
		return
	}
	if h.refused == nil {
		h.refused = map[string]refusal{}
	}
	since := time.Now()
	if r, known := h.refused[call]; known {
		since = r.since
	}
	h.refused[call] = refusal{since, err}
}

// oldest returns the call that waits for longest, or "".
func (h *storeHealth) oldest() (call string, r refusal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c, o := range h.refused {
		if call == "" || o.since.Before(r.since) {
			call, r = c, o
		}
	}
	return call, r
}

// retry repeats do until it succeeds, ctx ends, or the store has answered in a
// way that repetition cannot change: the key is taken, or there is no such
// object. Kafka keeps the data meanwhile.
func (e *env) retry(ctx context.Context, what string, do func(context.Context) error) error {
	wait := 100 * time.Millisecond
	defer e.store.set(what, nil)
	for {
		err := do(ctx)
		if err == nil || errors.Is(err, objstore.ErrExists) || errors.Is(err, objstore.ErrNotFound) {
			return err
		}
		if ctx.Err() != nil {
			return err
		}
		e.store.set(what, err)
		e.log.Warn("store does not answer as it should, trying again", "call", what, "err", err)
		if !pause(ctx, time.Duration(rand.Int64N(int64(wait)))+wait/2) {
			return err
		}
		wait = min(2*wait, 20*time.Second)
	}
}

// pause waits for d and says whether ctx lived through it.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// removeFile removes a file of the spool; one that stays is removed at the next start.
func removeFile(path string) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
}
