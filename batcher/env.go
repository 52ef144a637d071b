package batcher

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/dedup"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/parquetout"
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
	habits   habits
	fileSeq  atomic.Int64
	store    storeHealth
	disk     func(io.Writer) io.Writer // nil: the disk itself
	rest     time.Duration             // Deps.Rest
	governor *governor
	rests    rests
	pauses   pauses
}

// habits remembers how a table's values lie in a file.
type habits struct {
	mu sync.Mutex
	m  map[string]habit
}

type habit struct {
	ratio float64  // what a raw byte takes
	plain []string // columns that a dictionary does not make smaller
}

func (h *habits) of(table string) (known habit, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	known, ok = h.m[table]
	return known, ok
}

// learn keeps what a file has shown. A column stays plain: without a dictionary
// no file shows how it would do with one.
func (h *habits) learn(table string, foot parquetout.Footer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.m == nil {
		h.m = map[string]habit{}
	}
	plain := h.m[table].plain
	for _, name := range foot.Plain {
		if !slices.Contains(plain, name) {
			plain = append(slices.Clip(plain), name)
		}
	}
	h.m[table] = habit{foot.Ratio, plain}
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
// way that repetition cannot change: the key is taken, there is no such object,
// or it is not to be understood. Kafka keeps the data meanwhile.
func (e *env) retry(ctx context.Context, what string, do func(context.Context) error) error {
	wait := 100 * time.Millisecond
	defer e.store.set(what, nil)
	for {
		err := do(ctx)
		_, unreadable := errors.AsType[*lake.FormatError](err)
		if err == nil || unreadable || errors.Is(err, objstore.ErrExists) || errors.Is(err, objstore.ErrNotFound) {
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
