package batcher_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// trouble stands between one life of a batcher and the store, and does at each
// call what a network, a store, or the end of the process may do there.
type trouble struct {
	mu     sync.Mutex // guards rnd
	rnd    *rand.Rand
	likely atomic.Int64 // of a hundred calls so many go wrong
	faults func(...any) // told of calls that no batcher may make
	kill   func()
	puts   chan struct{} // rung at each commit; nil: nobody listens

	dead  atomic.Bool  // the process has ended: none of its calls arrives
	until atomic.Int64 // it sleeps until then, and so do its calls; unix nanoseconds
}

// newTrouble makes none until it is told how likely it is; faults is told of
// calls that no batcher may make.
func newTrouble(seed uint64, faults func(...any)) *trouble {
	return &trouble{rnd: rand.New(rand.NewPCG(seed, 5)), faults: faults}
}

// what happens to a call.
type mishap int

const (
	nothing     mishap = iota
	undelivered        // the call does not arrive
	answerLost         // it is done, and nobody learns it
	unavailable        // 503, and it was not done
	lied               // 503, and it was done
	conflict           // 409: a rival write is under way
	taken              // 412, which is not true
	cut                // the body ends half-way
	answerCut          // the answer ends half-way
	slow
	asleep      // the process sleeps before it, and wakes to find others at work
	asleepAfter // the process sleeps when it was done
	killed      // the process ends before it
	killedAfter // the process ends when it was done
)

// mishaps says what can happen to a kind of call.
func mishaps(r *http.Request) []mishap {
	writes := []mishap{undelivered, answerLost, unavailable, lied, conflict, cut, slow, asleep, asleepAfter, killed, killedAfter}
	switch {
	case isCommit(r): // a store that lies of a commit that was never there has somebody delete commits: TestCommitMissingStops
		return writes
	case isPut(r):
		return append(writes, taken)
	}
	return []mishap{undelivered, answerLost, unavailable, answerCut, slow, asleep}
}

func (t *trouble) choose(r *http.Request) (mishap, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rnd.Int64N(100) >= t.likely.Load() {
		return nothing, 0
	}
	all := mishaps(r)
	return all[t.rnd.IntN(len(all))], time.Duration(t.rnd.IntN(300)) * time.Millisecond
}

// sleep stops the process for a while, as SIGSTOP does.
func (t *trouble) sleep(milliseconds int) {
	t.until.Store(time.Now().Add(time.Duration(milliseconds) * time.Millisecond).UnixNano())
}

// awake returns when the process does not sleep; what it does meanwhile arrives afterwards.
func (t *trouble) awake() {
	for {
		left := time.Until(time.Unix(0, t.until.Load()))
		if left <= 0 {
			return
		}
		wait(int(left.Milliseconds()) + 1)
	}
}

func (t *trouble) meddle(rw http.ResponseWriter, r *http.Request, next http.Handler) bool {
	if isPut(r) && r.Header.Get("If-None-Match") != "*" || r.Method == http.MethodDelete {
		t.faults(fmt.Sprintf("%s %s: nothing may be overwritten or deleted", r.Method, r.URL.Path))
	}
	if isCommit(r) {
		select {
		case t.puts <- struct{}{}:
		default:
		}
	}
	t.awake()
	if t.dead.Load() {
		dead(rw)
	}
	what, pause := t.choose(r)
	switch what {
	case nothing:
		return false
	case slow:
		wait(int(pause.Milliseconds()) / 5)
		return false
	case asleep:
		t.sleep(int(pause.Milliseconds()))
		t.awake()
		return false
	case undelivered:
		dead(rw)
	case killed:
		t.end(rw)
	case unavailable:
		rw.WriteHeader(http.StatusServiceUnavailable)
	case conflict:
		refuse(rw, http.StatusConflict, "ConditionalRequestConflict")
	case taken:
		refuse(rw, http.StatusPreconditionFailed, "PreconditionFailed")
	case cut:
		half := *r
		half.Body = io.NopCloser(io.LimitReader(r.Body, r.ContentLength/2))
		next.ServeHTTP(httptest.NewRecorder(), &half) // the store must not take half for the whole
		dead(rw)
	case answerLost, answerCut, lied, asleepAfter, killedAfter:
		t.after(what, pause, rw, r, next)
	}
	return true
}

// after has the call done, and spoils the answer.
func (t *trouble) after(what mishap, pause time.Duration, rw http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, r)
	if what == lied {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if what == killedAfter {
		t.end(rw)
	}
	if what == answerLost {
		dead(rw)
	}
	if what == asleepAfter {
		t.sleep(int(pause.Milliseconds()))
		t.awake()
	}
	maps.Copy(rw.Header(), rec.Header())
	rw.WriteHeader(rec.Code)
	body := rec.Body.Bytes()
	if what == answerCut {
		_, _ = rw.Write(body[:len(body)/2]) // whoever asked may be gone
		dead(rw)
	}
	_, _ = rw.Write(body)
}

func (t *trouble) end(rw http.ResponseWriter) {
	if t.kill != nil { // else whoever made the process kills it
		t.dead.Store(true)
		t.kill()
	}
	dead(rw)
}

func refuse(rw http.ResponseWriter, status int, code string) {
	rw.Header().Set("Content-Type", "application/xml")
	rw.WriteHeader(status)
	_, _ = fmt.Fprintf(rw, `<Error><Code>%s</Code><Message>%s</Message></Error>`, code, code)
}

// breakKafka has one in four of the calls end without an answer that tell Kafka
// of an offset or a dead letter.
func (m *model) breakKafka() {
	rnd := rand.New(rand.NewPCG(m.seed, 99)) // of the broker's one goroutine
	for _, key := range []kmsg.Key{kmsg.OffsetCommit, kmsg.Produce} {
		m.broker.Cluster().ControlKey(key.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
			m.broker.Cluster().KeepControl()
			if !m.calm.Load() && rnd.IntN(4) == 0 {
				return nil, errors.New("the connection ends"), true
			}
			return nil, nil, false
		})
	}
}

// quiet is the log of batchers that meet trouble all the time.
var quiet = slog.New(slog.DiscardHandler)
