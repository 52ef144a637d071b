package conformance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// expect is what has come of a run; absent members are not looked at.
type expect struct {
	Success   *bool              `json:"success"`
	Results   []string           `json:"results"`   // fate[:code][@attempts], in the order told
	Sends     []string           `json:"sends"`     // the same of send
	Delivered *int               `json:"delivered"` // of stats, as the next four
	Rejected  *int               `json:"rejected"`
	Dropped   map[string]int     `json:"dropped"`
	Stats     map[string]float64 `json:"stats"`
	AtLeast   map[string]float64 `json:"atLeast"`   // of stats
	LastError *bool              `json:"lastError"` // whether there is one
	Refused   map[string]int     `json:"refused"`
	Requests  *int               `json:"requests"`
	Batches   []int              `json:"batches"` // events in each request
	Retries   []string           `json:"retries"` // X-Retry-Count of each request; in browsers all are empty
	Gzip      []bool             `json:"gzip"`
	Gaps      map[string]bounds  `json:"gaps"` // from the answer to request n (1…, last) to the one behind it
	Flushes   []ending           `json:"flushes"`
	Closes    []ending           `json:"closes"`
	SendMS    []bounds           `json:"sendMs"`
	Calls     *bounds            `json:"callMs"`    // the slowest event call
	PeakBytes *bounds            `json:"peakBytes"` // of the queue
	MaxBody   int                `json:"maxBody"`   // bytes of a body, inflated
	Ordered   int                `json:"ordered"`   // properties.n of what was answered with 200 is 1 to this, in order
	From      int                `json:"from"`      // where ordered begins, if not at 1
	Complete  int                `json:"complete"`  // the same as a set, from 1
	Pages     []string           `json:"pages"`     // path and query of the page views
	Absent    []string           `json:"absent"`    // texts that no body holds
	Present   []string           `json:"present"`
	AtOnce    int                `json:"atOnce"` // requests at once at most; absent: 1
	Sums      *bool              `json:"sums"`   // false: stats are not of the whole run
	Evals     []any              `json:"evals"`
	Stored    *bounds            `json:"stored"`
}

type bounds struct {
	Min float64  `json:"min"`
	Max *float64 `json:"max"`
}

type ending struct {
	OK      *bool  `json:"ok"`
	MS      bounds `json:"ms"`
	Queued  *int   `json:"queued"`
	Spooled *int   `json:"spooled"`
}

// outcome is a run with all that is known of it.
type outcome struct {
	sdk       string
	c         *testCase
	run       run
	in        input
	out       output
	requests  []request
	preflight int
	most      int
	stolen    []string
	dir       string
	server    *server
	said      []string // what is wrong
}

func (o *outcome) errorf(format string, args ...any) {
	o.said = append(o.said, fmt.Sprintf(format, args...))
}

func (o *outcome) equal(what string, got, want any) {
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		o.errorf("%s: %s, want %s", what, g, w)
	}
}

func (o *outcome) within(what string, got float64, b bounds) {
	if got < b.Min || b.Max != nil && got > *b.Max {
		most := "∞"
		if b.Max != nil {
			most = number(*b.Max)
		}
		o.errorf("%s: %s, want %s to %s", what, number(got), number(b.Min), most)
	}
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// stat returns a number of stats; one that is missing is no zero.
func (o *outcome) stat(name string) float64 {
	f, ok := o.out.Stats[name].(float64)
	if !ok {
		o.errorf("stats has no number %s", name)
	}
	return f
}

func (o *outcome) droppedByReason() map[string]int {
	out := map[string]int{}
	m, ok := o.out.Stats["droppedByReason"].(map[string]any)
	if !ok {
		o.errorf("stats.droppedByReason is no object")
	}
	for reason, n := range m {
		if f, _ := n.(float64); f != 0 {
			out[reason] = int(f)
		}
	}
	return out
}

// judge compares the outcome with what is expected of its SDK.
func (o *outcome) judge(e expect) {
	o.judgeFates(e)
	o.judgeRequests(e)
	o.judgeEndings(e)
	o.judgeWire()
	o.judgeTotals(e)
	for _, name := range o.run.Checks {
		checks[name](o)
	}
}

func (o *outcome) judgeFates(e expect) {
	if e.Success != nil {
		o.equal("success", o.out.Success, *e.Success)
	}
	o.results("results", o.out.Results, e.Results)
	o.results("sends", o.out.Sends, e.Sends)
	if e.Delivered != nil {
		o.equal("stats.delivered", o.stat("delivered"), *e.Delivered)
	}
	if e.Rejected != nil {
		o.equal("stats.rejected", o.stat("rejected"), *e.Rejected)
	}
	if e.Dropped != nil {
		o.equal("stats.droppedByReason", o.droppedByReason(), e.Dropped)
	}
	if e.Refused != nil {
		refused := map[string]int{}
		for reason, n := range o.out.Refused {
			if n != 0 {
				refused[reason] = n
			}
		}
		o.equal("refused", refused, e.Refused)
	}
	for name, want := range e.Stats {
		o.equal("stats."+name, o.stat(name), want)
	}
	for name, least := range e.AtLeast {
		o.within("stats."+name, o.stat(name), bounds{Min: least})
	}
	if e.LastError != nil {
		text, _ := o.out.Stats["lastError"].(string)
		o.equal("stats.lastError is there", text != "", *e.LastError)
	}
}

// results compares fates; attempts and code only where the case names them.
func (o *outcome) results(what string, got []result, want []string) {
	if want == nil {
		return
	}
	var said []string
	for i, r := range got {
		text := r.Fate
		if i < len(want) && strings.Contains(want[i], ":") || r.Code != "" {
			text += ":" + r.Code
		}
		if i < len(want) && strings.Contains(want[i], "@") {
			text += "@" + strconv.Itoa(r.Attempts)
		}
		said = append(said, text)
	}
	o.equal(what, said, want)
}

func (o *outcome) judgeRequests(e expect) {
	if e.Requests != nil {
		o.equal("requests", len(o.requests), *e.Requests)
	}
	var sizes []int
	var retries []string
	var zipped []bool
	for _, r := range o.requests {
		sizes = append(sizes, len(r.batch.events))
		retries = append(retries, r.header.Get("X-Retry-Count"))
		zipped = append(zipped, r.header.Get("Content-Encoding") == "gzip")
		if e.MaxBody > 0 && len(r.body) > e.MaxBody {
			o.errorf("a body has %d bytes, want at most %d", len(r.body), e.MaxBody)
		}
	}
	if e.Batches != nil {
		o.equal("events in the requests", sizes, e.Batches)
	}
	if e.Retries != nil {
		o.equal("X-Retry-Count", fmt.Sprintf("%q", retries), fmt.Sprintf("%q", e.Retries))
	}
	if e.Gzip != nil {
		o.equal("gzip", zipped, e.Gzip)
	}
	for name, b := range e.Gaps {
		n := len(o.requests) - 1
		if name != "last" {
			n, _ = strconv.Atoi(name)
		}
		if n < 1 || n >= len(o.requests) {
			o.errorf("gap %s: there are %d requests", name, len(o.requests))
			continue
		}
		gap := o.requests[n].at.Sub(o.requests[n-1].answered)
		o.within("ms between the answer to request "+strconv.Itoa(n)+" and the next", float64(gap)/float64(time.Millisecond), b)
	}
	for _, text := range e.Absent {
		if o.holds(text) {
			o.errorf("a body holds %q", text)
		}
	}
	for _, text := range e.Present {
		if !o.holds(text) {
			o.errorf("no body holds %q", text)
		}
	}
	if e.Ordered > 0 {
		o.equal("properties.n as accepted", o.accepted(), upTo(e.Ordered)[max(e.From, 1)-1:])
	}
	if e.Complete > 0 {
		got := o.accepted()
		slices.Sort(got)
		o.equal("properties.n as accepted, sorted", slices.Compact(got), upTo(e.Complete))
	}
	if e.Pages != nil {
		o.pages(e.Pages)
	}
}

// pages compares the page views, each of which names the one before it as its referrer.
func (o *outcome) pages(want []string) {
	var seen []string
	before := ""
	for _, r := range o.requests {
		for _, e := range r.batch.events {
			c, _ := e["context"].(map[string]any)
			page, _ := c["page"].(map[string]any)
			if e["type"] != "page" {
				continue
			}
			seen = append(seen, fmt.Sprint(page["path"], page["search"]))
			if before != "" && page["referrer"] != before {
				o.errorf("the referrer of %v is %v, want %s", page["url"], page["referrer"], before)
			}
			before, _ = page["url"].(string)
		}
	}
	o.equal("page views", seen, want)
}

func (o *outcome) holds(text string) bool {
	return slices.ContainsFunc(o.requests, func(r request) bool { return strings.Contains(string(r.body), text) })
}

// accepted returns properties.n of all events in requests that were answered with 200.
func (o *outcome) accepted() []int {
	var out []int
	for _, r := range o.requests {
		if r.status == 200 {
			out = append(out, r.numbers()...)
		}
	}
	return out
}

func (r request) numbers() []int {
	var out []int
	for _, e := range r.batch.events {
		p, _ := e["properties"].(map[string]any)
		n, _ := strconv.Atoi(fmt.Sprint(p["n"]))
		out = append(out, n)
	}
	return out
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i + 1
	}
	return out
}

func (o *outcome) judgeEndings(e expect) {
	o.endings("flush", o.out.Flushes, e.Flushes)
	o.endings("close", o.out.Closes, e.Closes)
	for i, b := range e.SendMS {
		if i < len(o.out.Sends) {
			o.within(fmt.Sprintf("ms of send %d", i+1), o.out.Sends[i].MS, b)
		}
	}
	if e.Calls != nil {
		o.within("slowestCallMs", o.out.SlowestCallMS, *e.Calls)
	}
	if e.PeakBytes != nil {
		o.within("peakQueueBytes", o.out.PeakQueueBytes, *e.PeakBytes)
	}
	if e.Stored != nil {
		o.within("stored", float64(o.out.Stored), *e.Stored)
	}
	if e.Evals != nil {
		o.equal("evals", o.out.Evals, e.Evals)
	}
}

func (o *outcome) endings(what string, got []flushed, want []ending) {
	if want == nil {
		return
	}
	if len(got) != len(want) {
		o.errorf("%s: %d times, want %d", what, len(got), len(want))
		return
	}
	for i, w := range want {
		name := fmt.Sprintf("%s %d", what, i+1)
		if w.OK != nil {
			o.equal(name+" ok", got[i].OK, *w.OK)
		}
		if w.Queued != nil {
			o.equal(name+" queued", got[i].Queued, *w.Queued)
		}
		if w.Spooled != nil {
			o.equal(name+" spooled", got[i].Spooled, *w.Spooled)
		}
		o.within(name+" ms", got[i].MS, w.MS)
	}
}
