package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"
)

// Path measures how long an event takes from its acknowledgement to the ends
// of a running installation: a row that a query sees, and a frame that a
// wallboard gets.
type Path struct {
	Ingest    string // http://127.0.0.1:8080
	WriteKey  string
	Source    string // the write key's source; its schema in the warehouse
	Warehouse string // DSN
	Serve     string // http://127.0.0.1:8090
	Metric    string // a count of "Order Completed"
	Rate      int    // events a second
	Duration  time.Duration
	Begun     func() // if set: called when the first event is about to be measured
}

// PathResult is what a path measured. Both figures begin when the answer to the
// event has been read.
type PathResult struct {
	Rate      int     `json:"rate"`
	Sent      int     `json:"sent"`
	Load      float64 `json:"load_events_per_s"`     // beside them
	Warehouse Summary `json:"accepted_to_warehouse"` // to the end of the first query that sees it; a query every 250 ms
	Frame     Summary `json:"accepted_to_frame"`     // to the frame on a WebSocket, not to the painted pixel
}

// Run sends for the duration and then waits until everything has arrived.
func (p Path) Run(ctx context.Context, progress func(string)) (PathResult, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Duration+3*time.Minute)
	defer cancel()
	run := fmt.Sprintf("bench-%d", time.Now().UnixNano())
	total := p.Rate * int(p.Duration.Seconds())
	log := &acks{at: map[string]time.Time{}}
	if err := p.warmUp(ctx, run+"-warm-up"); err != nil {
		return PathResult{}, err
	}
	board, err := p.watchBoard(ctx)
	if err != nil {
		return PathResult{}, err
	}
	defer board.close()
	var (
		out PathResult
		wg  sync.WaitGroup
		bad [3]error
	)
	if p.Begun != nil {
		p.Begun()
	}
	wg.Go(func() { bad[0] = p.sendAll(ctx, run, total, log, progress) })
	wg.Go(func() {
		var l Latencies
		l, bad[1] = p.watchWarehouse(ctx, run, total, log)
		out.Warehouse = l.Summarise()
	})
	wg.Go(func() {
		var l Latencies
		l, bad[2] = board.latencies(ctx, total, log)
		out.Frame = l.Summarise()
	})
	wg.Wait()
	out.Rate, out.Sent = p.Rate, total
	return out, errors.Join(bad[:]...)
}

// warmUp sends an event, which makes tables and views, and waits for its row.
func (p Path) warmUp(ctx context.Context, id string) error {
	if err := p.send(ctx, id); err != nil {
		return err
	}
	log := &acks{at: map[string]time.Time{}}
	log.add(id, time.Now())
	_, err := p.watchWarehouse(ctx, id, 1, log)
	return err
}

// acks is when each event was acknowledged.
type acks struct {
	mu    sync.Mutex
	at    map[string]time.Time // guarded by mu, by message id
	order []time.Time          // guarded by mu
}

func (a *acks) add(id string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at[id] = at
	a.order = append(a.order, at)
}

func (a *acks) of(id string) (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := a.at[id]
	return at, ok
}

// oldest returns when the oldest event that is not among seen was acknowledged;
// or if there is none.
func (a *acks) oldest(seen map[string]bool, or time.Time) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	first, found := or, false
	for id, at := range a.at {
		if !seen[id] && (!found || at.Before(first)) {
			first, found = at, true
		}
	}
	return first
}

// nth returns when the nth event, from 1, was acknowledged. An event can be on
// a board before its answer has been read; it then took no time at all.
func (a *acks) nth(n int, now time.Time) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n > len(a.order) {
		return now
	}
	return a.order[n-1]
}

func (p Path) sendAll(ctx context.Context, run string, total int, log *acks, progress func(string)) error {
	tick := time.NewTicker(time.Second / time.Duration(p.Rate))
	defer tick.Stop()
	for i := range total {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		id := fmt.Sprintf("%s-%d", run, i)
		if err := p.send(ctx, id); err != nil {
			return err
		}
		log.add(id, time.Now())
		if i%(p.Rate*5) == 0 {
			progress(fmt.Sprintf("%d of %d events sent", i, total))
		}
	}
	return nil
}

func (p Path) send(ctx context.Context, id string) error {
	body := fmt.Sprintf(`{"userId":"bench-user","event":"Order Completed","messageId":%q,"properties":{"total":1,"currency":"EUR","plan":"pro"}}`, id)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Ingest+"/v1/track", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth(p.WriteKey, "")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("post: status %d: %s", resp.StatusCode, answer)
	}
	return nil
}

// watchWarehouse asks for rows whose id begins with run until it has seen total
// of them. It asks for those that can be new: what it has seen is not read again,
// whatever the table holds.
func (p Path) watchWarehouse(ctx context.Context, run string, total int, log *acks) (Latencies, error) {
	conn, err := pgx.Connect(ctx, p.Warehouse)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // only read
	var (
		out  Latencies
		seen = map[string]bool{}
		tick = time.NewTicker(250 * time.Millisecond)
		from = time.Now().Add(-time.Minute)
	)
	defer tick.Stop()
	for len(seen) < total {
		select {
		case <-ctx.Done():
			return out, fmt.Errorf("warehouse: %d of %d events arrived: %w", len(seen), total, context.Cause(ctx))
		case <-tick.C:
		}
		sql := fmt.Sprintf(`SELECT id FROM %s.tracks WHERE received_at >= '%s' AND id LIKE '%s%%'`, p.Source, from.UTC().Format("2006-01-02 15:04:05.000"), run)
		results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
		now := time.Now()
		if err != nil || len(results) == 0 {
			continue // the table is not there yet
		}
		for _, row := range results[0].Rows {
			id := string(row[0])
			if at, ok := log.of(id); ok && !seen[id] {
				seen[id] = true
				out = append(out, now.Sub(at))
			}
		}
		from = log.oldest(seen, now).Add(-time.Minute) // as far as clocks may differ
	}
	return out, nil
}

// board is a wallboard with one tile.
type board struct {
	conn   *websocket.Conn
	base   int // the metric before the run
	column int
}

type frame struct {
	Op   string      `json:"op"`
	Cols []string    `json:"cols"`
	Rows [][]*string `json:"rows"`
	Set  [][]*string `json:"set"`
	Code string      `json:"code"`
	Msg  string      `json:"message"`
}

func (p Path) watchBoard(ctx context.Context) (*board, error) {
	d := websocket.Dialer{Subprotocols: []string{"millstream.v1"}, HandshakeTimeout: 10 * time.Second}
	conn, resp, err := d.DialContext(ctx, "ws"+strings.TrimPrefix(p.Serve, "http")+"/v1/ws", nil)
	if err != nil {
		return nil, fmt.Errorf("websocket: %w", err)
	}
	defer resp.Body.Close()
	b := &board{conn: conn}
	sub := fmt.Sprintf(`{"op":"sub","id":1,"view":{"metric":%q},"every":250}`, p.Metric)
	for _, m := range []string{`{"op":"hello","v":1}`, sub} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(m)); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	// The warm-up event has to be counted before the base is taken.
	settled := time.Now().Add(3 * time.Second)
	for time.Now().Before(settled) {
		f, err := b.read(settled.Add(10 * time.Second))
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		if v, ok := b.value(f); ok {
			b.base = v
		}
	}
	return b, nil
}

func (b *board) close() { _ = b.conn.Close() } // nothing is left to be told

func (b *board) read(deadline time.Time) (frame, error) {
	var f frame
	if err := b.conn.SetReadDeadline(deadline); err != nil {
		return f, err
	}
	_, text, err := b.conn.ReadMessage()
	if err != nil {
		return f, fmt.Errorf("websocket: %w", err)
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&f); err != nil {
		return f, fmt.Errorf("frame %s: %w", text, err)
	}
	if f.Op == "err" {
		return f, fmt.Errorf("subscribe: %s: %s", f.Code, f.Msg)
	}
	return f, nil
}

// value returns the metric in a frame, if it has it.
func (b *board) value(f frame) (int, bool) {
	rows := f.Set
	if f.Op == "snap" {
		rows = f.Rows
		for i, c := range f.Cols {
			if c == "value" {
				b.column = i
			}
		}
	}
	if len(rows) != 1 || b.column >= len(rows[0]) || rows[0][b.column] == nil {
		return 0, false
	}
	var n int
	if _, err := fmt.Sscan(*rows[0][b.column], &n); err != nil {
		return 0, false
	}
	return n, true
}

// latencies reads frames until every event is in the metric: when it has risen
// by n, the first n events have arrived.
func (b *board) latencies(ctx context.Context, total int, log *acks) (Latencies, error) {
	var out Latencies
	deadline, _ := ctx.Deadline()
	for len(out) < total {
		f, err := b.read(deadline)
		if err != nil {
			return out, fmt.Errorf("wallboard: %d of %d events arrived: %w", len(out), total, err)
		}
		now := time.Now()
		v, ok := b.value(f)
		for n := len(out) + 1; ok && n <= min(v-b.base, total); n++ {
			out = append(out, max(0, now.Sub(log.nth(n, now))))
		}
	}
	return out, nil
}
