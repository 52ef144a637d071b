// make test runs these with the race detector; real services would change nothing.

//go:build !integration

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/millstream-data/millstream/internal/demo"
	"github.com/millstream-data/millstream/internal/testkit"
)

// sentCall is what the tour's questions need of a call.
type sentCall struct {
	Type, UserID, Event string
	Timestamp           time.Time
	Properties          struct {
		Total    json.Number
		Products []struct {
			ProductID string `json:"product_id"`
			Price     json.Number
			Quantity  int64
		}
	}
	Context struct{ Campaign struct{ Source string } }
}

// visitors stands between the shop and ingest and keeps what was sent.
type visitors struct {
	to    string
	calls []sentCall
}

func (v *visitors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var batch struct{ Batch []sentCall }
	if err == nil {
		err = json.Unmarshal(body, &batch)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, v.to+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	req.Header = r.Header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		v.calls = append(v.calls, batch.Batch...) // the shop sends one batch after the other
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body) // the shop asks again if it gets no answer
}

// answer is what a query of the tour gave.
type answer struct {
	columns []string
	rows    [][]string
}

func (a answer) text() []string {
	out := make([]string, len(a.rows))
	for i, r := range a.rows {
		out[i] = strings.Join(r, " ")
	}
	return out
}

// TestTour runs the queries of docs/tour.md, as they stand there, against the
// demo's shop with a past of five weeks, and holds the answers against what the
// shop has sent. Until all of that is in the warehouse, and in the end without
// one row, millstream verify is asked whether it is.
func TestTour(t *testing.T) {
	t.Parallel()
	queries, headers := tour(t)
	sys := newDev(t)
	v := &visitors{to: sys.ingest}
	edge := httptest.NewServer(v)
	defer edge.Close()
	shop, err := demo.New(t.Context(), demo.Config{
		Endpoint: edge.URL, WriteKey: "dev", Database: filepath.Join(sys.dir, "shop.db"), Every: 20 * time.Second, Seed: 42,
	}, testkit.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	sys.start() // with the mirror of the shop that is there
	stop := hammer(sys)
	now := time.Now()
	if err := errors.Join(shop.Past(t.Context(), now), shop.Close()); err != nil {
		t.Fatal(err)
	}
	count := func(event string) (n int) {
		for _, c := range v.calls {
			if c.Event == event || c.Type == event {
				n++
			}
		}
		return n
	}
	orders := strconv.Itoa(count("Order Completed"))
	sys.eventually("the warehouse has what the shop has sent", time.Minute, func() error {
		return sameCounts(sys, `SELECT (SELECT COUNT(*) FROM app.tracks), (SELECT COUNT(*) FROM app.pages), (SELECT COUNT(*) FROM app.order_completed),
			(SELECT COUNT(*) FROM shop_main.orders), (SELECT COUNT(*) FROM shop_main.customers)`,
			strconv.Itoa(count("track")), strconv.Itoa(count("page")), orders, orders, strconv.Itoa(count("Signed Up")))
	})
	if balanced, busy := stop(); balanced < 2 || busy == 0 {
		t.Errorf("verified %d times, with rows due %d times: not while traffic flowed", balanced, busy)
	}
	answers := make([]answer, len(queries))
	for i, q := range queries {
		answers[i] = ask(t, sys, q)
		if d := cmp.Diff(headers[i], answers[i].columns); d != "" {
			t.Errorf("query %d: the page shows other columns (-page +answer):\n%s", i+1, d)
		}
		if len(answers[i].rows) == 0 {
			t.Errorf("query %d: no rows", i+1)
		}
	}
	for i, want := range map[int][]string{1: v.funnel(), 2: v.cohorts(), 3: v.revenue(t, now), 5: v.touches(), 7: v.products(t), 8: v.active()} {
		got := answers[i-1]
		switch i {
		case 2: // people of each cohort; those who came back are counted below
			for n, r := range got.rows {
				got.rows[n] = r[:2]
			}
		case 3: // the first day is cut at the hour of the question
			got.rows = slices.DeleteFunc(got.rows, func(r []string) bool { return r[1] <= day(now.AddDate(0, 0, -2)) })
		case 5: // revenue is query 3's matter
			for n, r := range got.rows {
				got.rows[n] = r[:2]
			}
			slices.SortFunc(got.rows, slices.Compare)
		}
		if d := cmp.Diff(want, got.text()); d != "" {
			t.Errorf("query %d (-sent +answer):\n%s\n%s", i, d, queries[i-1])
		}
	}
	plausible(t, answers, orders, strconv.Itoa(count("track")))
	loses(t, sys)
	sys.stop()
}

// plausible looks at the answers that are not computed a second time.
func plausible(t *testing.T, answers []answer, orders, tracks string) {
	t.Helper()
	sum := func(a answer, column int) string {
		var n int64
		for _, r := range a.rows {
			v, err := strconv.ParseInt(r[column], 10, 64)
			if err != nil {
				t.Error(err)
			}
			n += v
		}
		return strconv.FormatInt(n, 10)
	}
	if joined := answers[3]; sum(joined, 2) != orders || sum(joined, 5) != "0" || !slices.ContainsFunc(joined.rows, func(r []string) bool { return r[1] == "shipped" && r[3] == r[4] }) {
		t.Errorf("the join has %v, of %s orders", joined.rows, orders)
	}
	for _, r := range answers[5].rows {
		if s, _ := strconv.Atoi(r[1]); len(r) != 5 || s < 1 || r[4] == "" {
			t.Errorf("sessions: %v", r)
		}
	}
	if late := answers[8]; sum(late, 1) != tracks || len(late.rows) < 2 {
		t.Errorf("lateness has %v, of %s events", late.rows, tracks)
	}
	for _, target := range []string{"app.tracks", "app.order_completed", "shop_main.orders"} {
		if !slices.ContainsFunc(answers[9].rows, func(r []string) bool { return r[0] == target && r[1] != "" && !strings.HasPrefix(r[1], "-") }) {
			t.Errorf("freshness has no %s: %v", target, answers[9].rows)
		}
	}
}

// tour reads the queries of the page and the columns of the answers below them.
func tour(t *testing.T) (queries []string, columns [][]string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "tour.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```sql\n(.*?)```\n```text\n(.*?)\n").FindAllStringSubmatch(string(page), -1) {
		queries = append(queries, m[1])
		var names []string
		for name := range strings.SplitSeq(m[2], "|") {
			names = append(names, strings.TrimSpace(name))
		}
		columns = append(columns, names)
	}
	if len(queries) != 10 || strings.Count(string(page), "```sql") != 10 {
		t.Fatalf("the tour has %d queries with answers, want 10", len(queries))
	}
	return queries, columns
}

// ask runs a query as psql does.
func ask(t *testing.T, sys *system, query string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, sys.warehouse)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	results, err := conn.PgConn().Exec(ctx, query).ReadAll()
	if err != nil {
		t.Errorf("%s%v", query, err)
		return answer{}
	}
	var a answer
	for _, f := range results[0].FieldDescriptions {
		a.columns = append(a.columns, f.Name)
	}
	for _, r := range results[0].Rows {
		texts := make([]string, len(r))
		for i, v := range r {
			texts[i] = string(v)
		}
		a.rows = append(a.rows, texts)
	}
	return a
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// each visits the calls of a type or event.
func (v *visitors) each(what string, visit func(sentCall)) {
	for _, c := range v.calls {
		if c.Event == what || c.Type == what {
			visit(c)
		}
	}
}

// first returns when each person first made such a call.
func (v *visitors) first(what string) map[string]sentCall {
	out := map[string]sentCall{}
	v.each(what, func(c sentCall) {
		if f, ok := out[c.UserID]; !ok || c.Timestamp.Before(f.Timestamp) {
			out[c.UserID] = c
		}
	})
	return out
}

func (v *visitors) funnel() []string {
	viewed, added, ordered := v.first("Product Viewed"), v.first("Product Added"), v.first("Order Completed")
	var a, o int
	for who, look := range viewed {
		if put, ok := added[who]; ok && !put.Timestamp.Before(look.Timestamp) {
			a++
			if order, ok := ordered[who]; ok && !order.Timestamp.Before(put.Timestamp) {
				o++
			}
		}
	}
	percent := strconv.FormatFloat(float64(int64(1000*float64(o)/float64(len(viewed))+0.5))/10, 'f', -1, 64)
	return []string{fmt.Sprintf("%d %d %d %s", len(viewed), a, o, percent)}
}

func (v *visitors) cohorts() []string {
	people := map[string]int{}
	for _, c := range v.first("page") {
		back := (int(c.Timestamp.UTC().Weekday()) + 6) % 7 // days since Monday
		people[day(c.Timestamp.AddDate(0, 0, -back))]++
	}
	return counts(people)
}

func (v *visitors) touches() []string {
	people := map[string]int{}
	for _, c := range v.first("page") {
		if c.Context.Campaign.Source == "" {
			c.Context.Campaign.Source = "direct"
		}
		people[c.Context.Campaign.Source]++
	}
	return counts(people)
}

func counts(m map[string]int) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s %d", k, m[k]))
	}
	return out
}

func (v *visitors) revenue(t *testing.T, now time.Time) []string {
	t.Helper()
	type sum struct {
		orders int
		cents  int64
	}
	sums := map[string]*sum{}
	for _, name := range []string{"America/New_York", "Europe/Berlin"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		v.each("Order Completed", func(c sentCall) {
			date := c.Timestamp.In(zone).Format(time.DateOnly)
			if date <= day(now.AddDate(0, 0, -2)) {
				return
			}
			if sums[name+" "+date] == nil {
				sums[name+" "+date] = &sum{}
			}
			sums[name+" "+date].orders++
			sums[name+" "+date].cents += cents(t, c.Properties.Total)
		})
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(sums)) {
		out = append(out, fmt.Sprintf("%s %d %d.%02d", k, sums[k].orders, sums[k].cents/100, sums[k].cents%100))
	}
	return out
}

func cents(t *testing.T, n json.Number) int64 {
	t.Helper()
	whole, part, _ := strings.Cut(n.String(), ".")
	c, err := strconv.ParseInt(whole+(part + "00")[:2], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (v *visitors) products(t *testing.T) []string {
	t.Helper()
	type sold struct {
		sku         string
		pieces, sum int64
	}
	byName := map[string]*sold{}
	v.each("Order Completed", func(c sentCall) {
		for _, p := range c.Properties.Products {
			if byName[p.ProductID] == nil {
				byName[p.ProductID] = &sold{sku: p.ProductID}
			}
			byName[p.ProductID].pieces += p.Quantity
			byName[p.ProductID].sum += p.Quantity * cents(t, p.Price)
		}
	})
	list := slices.SortedFunc(maps.Values(byName), func(a, b *sold) int {
		if a.sum != b.sum {
			return int(b.sum - a.sum)
		}
		return strings.Compare(a.sku, b.sku)
	})
	var out []string
	for _, s := range list[:5] {
		out = append(out, fmt.Sprintf("%s %d %d.%02d", s.sku, s.pieces, s.sum/100, s.sum%100))
	}
	return out
}

func (v *visitors) active() []string {
	days := map[string]map[string]bool{}
	v.each("page", func(c sentCall) {
		if days[day(c.Timestamp)] == nil {
			days[day(c.Timestamp)] = map[string]bool{}
		}
		days[day(c.Timestamp)][c.UserID] = true
	})
	last := slices.Sorted(maps.Keys(days))
	slices.Reverse(last)
	var out []string
	for _, d := range last[:5] {
		at, _ := time.Parse(time.DateOnly, d)
		week := map[string]bool{}
		for back := range 7 {
			maps.Copy(week, days[day(at.AddDate(0, 0, -back))])
		}
		percent := float64(int64(1000*float64(len(days[d]))/float64(len(week))+0.5)) / 10
		out = append(out, fmt.Sprintf("%s %d %d %s", d, len(days[d]), len(week), strconv.FormatFloat(percent, 'f', -1, 64)))
	}
	return out
}
