package demo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Config holds the options of the shop.
type Config struct {
	Endpoint string        // where ingest listens, http://127.0.0.1:8080
	WriteKey string        // of the source that the shop's events belong to
	Database string        // file of the shop's database
	Every    time.Duration // time between two visits at the busiest hour
	Seed     uint64        // the same one makes the same visits of a new shop; 0: other ones each time
}

// Shop runs the demo.
type Shop struct {
	cfg       Config
	log       *slog.Logger
	http      *http.Client
	rand      *rand.Rand
	db        *database
	isNew     bool
	customers []customer
}

// New opens the shop's database, and creates it if the shop is new.
func New(ctx context.Context, cfg Config, log *slog.Logger) (*Shop, error) {
	if err := os.MkdirAll(filepath.Dir(cfg.Database), 0o700); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	db, err := openDatabase(ctx, cfg.Database)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	s := &Shop{
		cfg: cfg, log: log, db: db, http: &http.Client{Timeout: 15 * time.Second},
		rand: rand.New(rand.NewPCG(cmp.Or(cfg.Seed, rand.Uint64()), 1)), //nolint:gosec // no secret depends on it
	}
	if s.customers, err = db.customers(ctx); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	s.isNew = len(s.customers) == 0
	return s, nil
}

// Run lets people visit the shop until ctx ends. A new shop first makes up its
// past, so that charts have one.
func (s *Shop) Run(ctx context.Context) error {
	defer func() {
		if err := s.db.close(); err != nil {
			s.log.Warn("demo shop's database did not close", "err", err)
		}
	}()
	if s.isNew {
		if err := s.Past(ctx, time.Now()); err != nil && ctx.Err() == nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for visits := 0; ; visits++ {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		now := time.Now()
		calls, err := s.visit(ctx, now)
		if err == nil {
			err = s.send(ctx, calls)
		}
		if err == nil && visits%10 == 9 {
			err = s.db.ship(ctx, now.Add(-20*time.Second), 3)
		}
		if err != nil && ctx.Err() == nil {
			// A web site does not close because its analytics are away.
			s.log.Warn("demo visit is lost", "err", err)
		}
		mean := float64(s.cfg.Every) / max(busy(now), 0.3) // a demo should not fall asleep at night
		timer.Reset(time.Duration(mean * (0.3 + 1.4*s.rand.Float64())))
	}
}

// pastDays is how old a new shop claims to be: cohorts of five weeks.
const pastDays = 35

// Past makes the visits of a new shop before now. Today has had a quarter as
// many as will come while somebody watches, and the shop has grown by two thirds
// a day, from some twenty visits.
func (s *Shop) Past(ctx context.Context, now time.Time) error {
	today := now.UTC().Truncate(24 * time.Hour)
	var calls []call
	for at := today.AddDate(0, 0, -pastDays); at.Before(now.Add(-time.Minute)); {
		more, err := s.visit(ctx, at)
		if err != nil {
			return err
		}
		if calls = append(calls, more...); len(calls) >= 400 {
			if err := s.send(ctx, calls); err != nil {
				return err
			}
			calls = calls[:0]
		}
		ago := math.Ceil(today.Sub(at).Hours() / 24)
		mean := min(float64(4*s.cfg.Every)*math.Pow(1.66, max(0, ago)), float64(36*time.Minute))
		at = at.Add(time.Duration(mean / busy(at) * (0.3 + 1.4*s.rand.Float64())))
	}
	if err := s.send(ctx, calls); err != nil {
		return err
	}
	s.isNew = false
	return s.db.ship(ctx, now.Add(-36*time.Hour), math.MaxInt32)
}

// Close closes the shop's database; Run does it, too.
func (s *Shop) Close() error { return s.db.close() }

// visit lets a new or known customer look around, and one in three order. Most
// of those who come back have come lately: people lose interest.
func (s *Shop) visit(ctx context.Context, at time.Time) ([]call, error) {
	isNew := len(s.customers) < 20 || s.rand.IntN(5) == 0
	var who customer
	if isNew {
		who = newCustomer(s.rand, int64(len(s.customers)+1))
		id, err := s.db.signUp(ctx, who, at)
		if err != nil {
			return nil, err
		}
		who.id = id
		s.customers = append(s.customers, who)
	} else {
		u := s.rand.Float64()
		who = s.customers[len(s.customers)-1-int(u*u*float64(len(s.customers)))]
	}
	v := newVisit(s.rand, who, at)
	if isNew {
		v.identify()
		v.track("Signed Up", map[string]any{"country": who.country})
	}
	v.browse()
	if s.rand.IntN(3) == 0 {
		o := newOrder(s.rand, 0)
		id, err := s.db.place(ctx, who, o, at)
		if err != nil {
			return nil, err
		}
		o.id = id
		v.order(o)
	}
	if who.plan == "free" && s.rand.IntN(40) == 0 {
		if err := s.upgrade(ctx, v); err != nil {
			return nil, err
		}
	}
	return v.done(), nil
}

func (s *Shop) upgrade(ctx context.Context, v *visit) error {
	v.who.plan = "pro"
	if err := s.db.upgrade(ctx, v.who); err != nil {
		return err
	}
	for i := range s.customers {
		if s.customers[i].id == v.who.id {
			s.customers[i] = v.who
		}
	}
	v.identify()
	v.track("Plan Upgraded", map[string]any{"from": "free"})
	return nil
}

// send posts calls as one batch and repeats it, message ids and all, until it
// is acknowledged.
func (s *Shop) send(ctx context.Context, calls []call) error {
	if len(calls) == 0 {
		return nil
	}
	body, err := json.Marshal(map[string]any{"batch": calls})
	if err != nil {
		return fmt.Errorf("encode batch: %w", err)
	}
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		retry, err := s.post(ctx, body)
		if err == nil || !retry {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

func (s *Shop) post(ctx context.Context, body []byte) (retry bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.Endpoint+"/v1/batch", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.SetBasicAuth(s.cfg.WriteKey, "")
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return true, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return true, err
	}
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500, fmt.Errorf("post batch: status %d: %s", resp.StatusCode, answer)
	}
	return false, nil
}
