package loader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/telemetry"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// lowWaterEvery is how often low water is written: it only saves listing.
const lowWaterEvery = time.Minute

// busyPatience is how long a cluster may be busy before the loader calls itself
// not ready.
const busyPatience = 5 * time.Minute

// classStore is the class of failures of the object store, beside those of
// warehouse.
const classStore = "store"

var retryClasses = []string{
	string(warehouse.ClassConflict), string(warehouse.ClassUnknown), string(warehouse.ClassBusy), string(warehouse.ClassSlow),
	string(warehouse.ClassDenied), string(warehouse.ClassRaced), string(warehouse.ClassTooLong), string(warehouse.ClassTarget), classStore,
}

// waves is one tenure of the lease. It belongs to one goroutine.
type waves struct {
	*Loader
	conn  *warehouse.Conn // for reading the ledger
	fence int64
	seen  catalogue

	putOff     map[string]*postponed // swaps by target
	sure       bool                  // no transaction that may have completed a poll has an unknown outcome
	lowWritten time.Time
	failing    bool            // the last wave did
	standing   telemetry.Check // what people are told unless a wave fails
	deferral   time.Duration   // that small loads wait; grows while waves are slow
	last       pace
}

// run makes waves until ctx ends or one fails as a whole.
func (w *waves) run(ctx, work context.Context) error {
	again := 0 // waves in a row that followed a failure at once
	busy := backoff{min: w.cfg.Interval, max: 5 * time.Minute}
	var busySince time.Time
	for ctx.Err() == nil {
		start := time.Now()
		failures, err := w.once(ctx, work)
		if err != nil {
			return err
		}
		w.metrics.wave.Observe(time.Since(start).Seconds())
		w.deferral = w.last.deferral(w.deferral, w.cfg)
		class := w.worst(failures, start)
		w.failing = class != ""
		if !w.failing {
			w.say(w.standing)
			w.metrics.lastSuccess.SetToCurrentTime()
			again, busySince = 0, time.Time{}
			busy.reset()
			pause(ctx, w.cfg.Interval-time.Since(start))
			continue
		}
		if class != string(warehouse.ClassBusy) {
			busySince = time.Time{}
		} else if busySince.IsZero() {
			busySince = start
		}
		w.say(failed(class, busySince, failures))
		switch again++; {
		case outage(class):
			busy.sleep(ctx)
		case again > w.cfg.Retry.Conflicts:
			pause(ctx, w.cfg.Interval)
		default:
			pause(ctx, jitter(min(5*time.Second, 100*time.Millisecond<<again)))
		}
	}
	return nil
}

// once is a wave: look, plan, load. The groups' failures are returned for the
// next wave to plan again; an error is the ledger's own.
func (w *waves) once(ctx, work context.Context) (failures []error, err error) {
	w.patience.anew()
	led, err := w.readLedger(work)
	if err != nil {
		return nil, err
	}
	if err := w.seen.refresh(work, led, time.Now(), w.chainStopped); err != nil {
		w.count(classStore)
		w.log.Warn("lake not read", "err", err)
		return []error{&storeError{err}}, nil
	}
	if err := w.writeLowWater(work, led); err != nil {
		return nil, err
	}
	id := event.ULID(time.Now())
	loads := gather(w.seen.chains, led, w.cfg.Wave, "")
	w.report(led, loads)
	if err := w.leaveWaiting(work, loads); err != nil {
		return nil, err
	}
	alone := w.patience.apart(loads)
	list := append(groups(loads, w.cfg.Group, w.deferSmall), alone...)
	start := time.Now()
	failures = w.load(ctx, work, id, list)
	w.last = pace{time.Since(start), len(list)}
	if !outage(w.worst(failures, start)) {
		more, err := w.retry(ctx, work, id, led)
		if err != nil {
			return nil, err
		}
		failures = append(failures, more...)
	}
	w.sure = w.sure && len(failures) == 0
	if ctx.Err() == nil {
		failures = append(failures, w.carryOut(work, id)...)
	}
	for _, f := range failures {
		if errors.Is(f, warehouse.ErrLeaseTaken) {
			return failures, f
		}
	}
	return failures, nil
}

func (w *waves) readLedger(ctx context.Context) (*ledger, error) {
	positions, err := w.conn.Positions(ctx)
	if err != nil {
		return nil, err
	}
	held, err := w.conn.Held(ctx)
	if err != nil {
		return nil, err
	}
	led := newLedger(positions, held)
	led.portions = w.patience.limits()
	return led, nil
}

// load runs groups, some at a time. No new group begins after ctx has ended.
func (w *waves) load(ctx, work context.Context, wave string, list [][]*load) []error {
	errs := make([]error, len(list))
	var g errgroup.Group
	g.SetLimit(w.cfg.Connections)
	for i, loads := range list {
		g.Go(func() error {
			if ctx.Err() == nil {
				errs[i] = w.runGroup(work, w.fence, wave, loads)
			}
			return nil
		})
	}
	_ = g.Wait() // none returns an error
	var failures []error
	for i, err := range errs {
		if err == nil {
			continue
		}
		class := classOf(err)
		w.count(class)
		w.log.Warn("group planned again", "class", class, "schema", list[i][0].name.Schema, "targets", len(list[i]), "err", err)
		failures = append(failures, err)
		if err := w.ended(work, wave, list[i], err); err != nil {
			failures = append(failures, err)
		}
	}
	return failures
}

func (w *waves) count(class string) { w.metrics.retries.WithLabelValues(class).Inc() }

// classOf is the class of a group's failure.
func classOf(err error) string {
	var store *storeError
	switch {
	case errors.As(err, &store):
		return classStore
	case errors.Is(err, errRaced):
		return string(warehouse.ClassRaced)
	}
	return string(warehouse.Classify(err))
}

// outage says that nothing can be loaded now, by no load's fault.
func outage(class string) bool {
	return class == string(warehouse.ClassBusy) || class == string(warehouse.ClassDenied) || class == classStore
}

// worst is the class that decides how long to wait after a wave that began at
// start. Where COPY may read some files, others that it may not are not waited
// for.
func (w *waves) worst(failures []error, start time.Time) string {
	out := ""
	for _, f := range failures {
		class := classOf(f)
		if class == string(warehouse.ClassDenied) && w.patience.copiedSince(start) {
			class = string(warehouse.ClassUnknown)
		}
		if out == "" || outage(class) {
			out = class
		}
	}
	return out
}

// failed is what people are told after a wave that failed.
func failed(class string, busySince time.Time, failures []error) telemetry.Check {
	if class == string(warehouse.ClassDenied) {
		return telemetry.NotReady("Redshift may not read the lake, so nothing is loaded, and nothing is lost or held: warehouse.copy_role needs s3:GetObject and s3:ListBucket on bucket and prefix, and must be attached to the cluster. %v", failures[0])
	}
	if busy := time.Since(busySince); !busySince.IsZero() && busy > busyPatience {
		return telemetry.NotReady("The warehouse has not worked for %s: %v", busy.Round(time.Second), failures[0])
	}
	return telemetry.Degraded("The last wave failed in part: %v", failures[0])
}

func (w *waves) chainStopped(id warehouse.Chain, err error) {
	w.log.Error("chain stopped", "topic", id.Topic, "partition", id.Part, "err", err)
}

// writeLowWater notes how far every target has loaded each chain, and where
// held targets keep their place below that.
func (w *waves) writeLowWater(ctx context.Context, led *ledger) error {
	full := slices.ContainsFunc(w.seen.chains, w.seen.full)
	if time.Since(w.lowWritten) < lowWaterEvery && !full {
		return nil
	}
	var statements []string
	var held []warehouse.Held
	for _, ch := range w.seen.chains {
		if !ch.started {
			continue
		}
		low, behind := lowWater(ch, led)
		held = append(held, behind...)
		for _, h := range behind {
			led.targets[h.Target].from[h.Chain] = h.First // so that the positions that are put below hold it back too
		}
		if was, ok := led.low[ch.id]; ok && was == low {
			continue
		}
		led.low[ch.id] = low
		statements = append(statements, warehouse.SetLowWater(ch.id, low)...)
	}
	if len(held) > 0 {
		statements = append(statements, warehouse.InsertHeld(held))
	}
	if len(statements) > 0 {
		s := &session{l: w.Loader, conn: w.conn, fence: w.fence}
		if err := s.gated(ctx, func() error { return s.execAll(ctx, statements) }); err != nil {
			return fmt.Errorf("write low water: %w", err)
		}
	}
	w.lowWritten = time.Now()
	return w.putPositions(ctx, led)
}

// positionsObject is what garbage collection of the lake obeys: nothing from
// these offsets on may go.
type positionsObject struct {
	V        int              `json:"v"`
	At       time.Time        `json:"at"`
	LowWater []positionsEntry `json:"low_water"`
	Held     []positionsEntry `json:"held"`
}

type positionsEntry struct {
	Target string `json:"target,omitempty"`
	Topic  string `json:"topic"`
	Part   int32  `json:"part"`
	Next   int64  `json:"next"`
}

func (w *waves) putPositions(ctx context.Context, led *ledger) error {
	if !w.cfg.PositionsObject {
		return nil
	}
	o := positionsObject{V: 1, At: time.Now().UTC(), LowWater: []positionsEntry{}, Held: []positionsEntry{}}
	for _, id := range sortedChains(led.low) {
		o.LowWater = append(o.LowWater, positionsEntry{Topic: id.Topic, Part: id.Part, Next: led.low[id]})
	}
	for target, t := range led.targets {
		for _, id := range sortedChains(t.from) {
			o.Held = append(o.Held, positionsEntry{Target: target, Topic: id.Topic, Part: id.Part, Next: t.from[id]})
		}
	}
	for _, h := range led.files {
		if h.Reason == warehouse.Skipped {
			continue
		}
		o.Held = append(o.Held, positionsEntry{Target: h.Target, Topic: h.Chain.Topic, Part: h.Chain.Part, Next: h.First})
	}
	body, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode positions: %w", err)
	}
	if err := w.lake.Store.Put(ctx, w.lake.Paths.Positions(), body); err != nil {
		w.log.Warn("positions not put", "err", err) // the next minute's will do
	}
	return nil
}

// report tells metrics and health how things stand.
func (w *waves) report(led *ledger, loads map[string]*load) {
	var age time.Duration
	for _, ld := range loads {
		age = max(age, time.Since(ld.created))
	}
	for label, d := range w.fresh.report(loads) {
		w.metrics.dueRows.WithLabelValues(label).Set(float64(d.rows))
		w.metrics.freshness.WithLabelValues(label).Set(d.age.Seconds())
	}
	w.metrics.oldestDue.Set(age.Seconds())
	w.metrics.heldTargets.Set(float64(len(led.targets)))
	skipped := led.skipped()
	w.metrics.heldFiles.Set(float64(len(led.files) - skipped))
	w.metrics.skippedFiles.Set(float64(skipped))
	gaps := 0
	for _, ch := range w.seen.chains {
		if ch.stopped {
			gaps++
		}
		w.metrics.chainLag.WithLabelValues(ch.id.Topic, strconv.Itoa(int(ch.id.Part))).Set(float64(ch.next - ch.begins()))
	}
	w.metrics.chainGaps.Set(float64(gaps))
	switch {
	case gaps > 0:
		w.standing = telemetry.Degraded("%d chains of commits cannot be read on; the log names them.", gaps)
	case len(led.targets)+len(led.files)-skipped > 0:
		w.standing = telemetry.Degraded("%d targets and %d files are held; SELECT * FROM millstream.held says why.", len(led.targets), len(led.files)-skipped)
	default:
		w.standing = telemetry.Ready("Loading; the oldest commit to load is %s old.", age.Round(time.Second))
	}
	if !w.failing {
		w.say(w.standing)
	}
}

// jitter is between half of d and d.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1) //nolint:gosec // spreads load, keeps no secret
}
