package demo

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/millstream-data/millstream/internal/testkit"
)

// edge is the part of ingest that the shop sees. It refuses the first request,
// as a server that is being started does.
type edge struct {
	mu      sync.Mutex
	refused bool
	calls   map[string]call // by message id
	twice   int
	enough  chan struct{}
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.refused {
		e.refused = true
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	var body struct{ Batch []call }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, c := range body.Batch {
		if _, ok := e.calls[c.MessageID]; ok {
			e.twice++
		}
		e.calls[c.MessageID] = c
	}
	if len(e.calls) > 300 {
		select {
		case <-e.enough:
		default:
			close(e.enough)
		}
	}
}

// visits runs a shop over file until the edge has enough of it.
func visits(t *testing.T, file string) *edge {
	t.Helper()
	e := &edge{calls: map[string]call{}, enough: make(chan struct{})}
	srv := httptest.NewServer(e)
	defer srv.Close()
	shop, err := New(t.Context(), Config{Endpoint: srv.URL, WriteKey: "dev", Database: file, Every: time.Millisecond}, testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- shop.Run(ctx) }()
	<-e.enough
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return e
}

func TestOrdersOfTheWebSiteAreRowsOfTheDatabase(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "shop.db")
	e := visits(t, file)
	if e.twice > 0 {
		t.Errorf("%d message ids were sent twice", e.twice)
	}
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	orders := 0
	for _, c := range e.calls {
		if c.Event != "Order Completed" {
			continue
		}
		orders++
		var total json.Number
		row := db.QueryRowContext(t.Context(), `SELECT printf('%.2f', total) FROM orders WHERE id = ?`, c.Properties["order_id"])
		if err := row.Scan(&total); err != nil {
			t.Fatalf("order %v: %v", c.Properties["order_id"], err)
		}
		want, err := total.Float64()
		if err != nil || c.Properties["total"] != want {
			t.Errorf("order %v: the event says %v, the row %v (%v)", c.Properties["order_id"], c.Properties["total"], total, err)
		}
	}
	if orders == 0 {
		t.Fatal("nobody ordered anything")
	}
}

func TestAShopThatOpensAgainKnowsItsCustomers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "shop.db")
	visits(t, file)
	before, err := New(t.Context(), Config{Database: file}, testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	known := len(before.customers)
	if err := before.db.close(); err != nil {
		t.Fatal(err)
	}
	visits(t, file)
	after, err := New(t.Context(), Config{Database: file}, testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := after.db.close(); err != nil {
			t.Error(err)
		}
	}()
	if after.isNew || len(after.customers) < known {
		t.Fatalf("new: %v; %d customers before, %d after", after.isNew, known, len(after.customers))
	}
}

func TestARefusedBatchIsAnErrorThatSaysWhy(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"code":"unknown_write_key"}`, http.StatusUnauthorized)
	}))
	defer srv.Close()
	shop := &Shop{cfg: Config{Endpoint: srv.URL}, http: srv.Client()}
	err := shop.send(t.Context(), []call{{Type: "track"}})
	if err == nil || errors.Is(err, context.Canceled) {
		t.Fatalf("want the server's reason, got %v", err)
	}
}

func TestTheSameSeedMakesTheSamePast(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 0, 3, 0, 0, time.UTC) // a day that has hardly begun
	past := func() map[string]call {
		e := &edge{calls: map[string]call{}, enough: make(chan struct{})}
		srv := httptest.NewServer(e)
		defer srv.Close()
		shop, err := New(t.Context(), Config{Endpoint: srv.URL, Database: filepath.Join(t.TempDir(), "shop.db"), Every: time.Minute, Seed: 7}, testkit.Log(t))
		if err == nil {
			err = errors.Join(shop.Past(t.Context(), now), shop.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		return e.calls
	}
	one, other := past(), past()
	if len(one) < 1000 || len(one) != len(other) {
		t.Fatalf("%d calls, and %d", len(one), len(other))
	}
	weeks := map[string]bool{}
	for id, c := range one {
		at, err := time.Parse(time.RFC3339, c.Timestamp)
		if err != nil || at.After(now) || c.Timestamp != other[id].Timestamp || c.Event != other[id].Event {
			t.Fatalf("%s: %v, then %v (%v)", id, c, other[id], err)
		}
		year, week := at.ISOWeek()
		weeks[fmt.Sprint(year, week)] = true
	}
	if len(weeks) < 5 {
		t.Errorf("weeks: %v", weeks)
	}
}
