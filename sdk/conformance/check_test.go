package conformance

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// checks are what a case names where its declarations do not reach.
var checks = map[string]func(*outcome){
	"uuidv7":       (*outcome).uuidv7,
	"repeats":      (*outcome).repeats,
	"sent-at-anew": (*outcome).sentAtAnew,
	"greedy":       (*outcome).greedy,
	"spread":       (*outcome).spread,
	"once":         (*outcome).once,
	"categories":   (*outcome).categories,
	"nothing-kept": (*outcome).nothingKept,
	"spool-empty":  (*outcome).spoolEmpty,
	"spool-full":   (*outcome).spoolFull,
	"untouched":    (*outcome).untouched,
	"fifteen":      (*outcome).fifteen,
}

var version7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// uuidv7 wants ids of RFC 9562 that rise in the order of the calls and stay near the frozen clock.
func (o *outcome) uuidv7() {
	text, _ := o.in.Fixed["now"].(string)
	now, err := time.Parse(time.RFC3339, text)
	if err != nil {
		o.errorf("uuidv7 wants fixed.now: %v", err)
		return
	}
	last, count := "", 0
	for _, r := range o.requests {
		if r.status != 200 {
			continue
		}
		for _, id := range r.ids() {
			if !version7.MatchString(id) {
				o.errorf("%q is no UUIDv7", id)
				return
			}
			if id <= last {
				o.errorf("%s comes after %s", id, last)
				return
			}
			last, count = id, count+1
			at, _ := strconv.ParseInt(strings.ReplaceAll(id[:13], "-", ""), 16, 64)
			if ahead := at - now.UnixMilli(); ahead < 0 || ahead > int64(count/2048)+1 {
				o.errorf("%s is %d ms ahead of the clock after %d ids", id, ahead, count)
				return
			}
		}
	}
}

// repeats wants each request that follows one without success to hold the same events in the same order.
func (o *outcome) repeats() {
	for i := 1; i < len(o.requests); i++ {
		a, b := o.requests[i-1], o.requests[i]
		if a.status != 200 && a.raw != nil && b.raw != nil && !slices.Equal(a.ids(), b.ids()) {
			o.errorf("request %d holds %v, and the try before it %v", i+1, b.ids(), a.ids())
		}
	}
}

func (o *outcome) sentAtAnew() {
	for i := 1; i < len(o.requests); i++ {
		if a, b := o.requests[i-1].batch.SentAt, o.requests[i].batch.SentAt; a >= b {
			o.errorf("sentAt of request %d is %s, after %s", i+1, b, a)
		}
	}
}

// greedy wants batches that would pass batchBytes with one event more, but for the last one.
func (o *outcome) greedy() {
	most, _ := strconv.Atoi(plainNumber(o.in.Config["batchBytes"]))
	for i, r := range o.requests {
		if len(r.body) > most && len(r.batch.events) > 1 {
			o.errorf("request %d has %d bytes in %d events, want at most %d", i+1, len(r.body), len(r.batch.events), most)
		}
		if i+1 < len(o.requests) && len(r.body)+1+len(o.requests[i+1].batch.Batch[0]) <= most {
			o.errorf("request %d has %d bytes, and the next event of %d would fit", i+1, len(r.body), len(o.requests[i+1].batch.Batch[0]))
		}
	}
}

func plainNumber(v any) string {
	if s, ok := plain(v).(interface{ String() string }); ok {
		return s.String()
	}
	return ""
}

// spread wants the delays between requests to lie between the bounds of the configuration, all over them.
func (o *outcome) spread() {
	base, _ := strconv.ParseFloat(plainNumber(o.in.Config["backoffBase"]), 64)
	most, _ := strconv.ParseFloat(plainNumber(o.in.Config["backoffMax"]), 64)
	least := base / 5
	var quarters [4]int
	late, total := 0, 0
	for i := 1; i < len(o.requests); i++ {
		ms := float64(o.requests[i].at.Sub(o.requests[i-1].answered)) / float64(time.Millisecond)
		if ms < least-1 {
			o.errorf("delay %d is %.1f ms, want at least %.1f", i, ms, least)
		}
		if ms > most+25 {
			late++
		}
		quarters[min(3, max(0, int(4*(ms-least)/(most-least))))]++
		total++
	}
	if late > total*3/4 { // a busy machine makes some late
		o.errorf("%d of %d delays are longer than %.0f ms", late, total, most)
	}
	for i, n := range quarters[:3] {
		if n < total/100 {
			o.errorf("quarter %d of the delays holds %d of %d: %v", i+1, n, total, quarters)
		}
	}
}

// once wants no event in two requests that were answered with success.
func (o *outcome) once() {
	seen := map[string]int{}
	for i, r := range o.requests {
		if r.status != 200 {
			continue
		}
		for _, id := range r.ids() {
			if seen[id] > 0 {
				o.errorf("%s is in requests %d and %d", id, seen[id], i+1)
			}
			seen[id] = i + 1
		}
	}
}

// categories wants the consent of the last change in the last event.
func (o *outcome) categories() {
	if len(o.requests) == 0 {
		o.errorf("no request")
		return
	}
	events := o.requests[len(o.requests)-1].batch.events
	c, _ := events[len(events)-1]["context"].(map[string]any)
	consent, _ := c["consent"].(map[string]any)
	if want := map[string]any{"Analytics": true, "Advertising": false}; !same(consent["categoryPreferences"], want) {
		o.errorf("context.consent is %v, want categoryPreferences %v", consent, want)
	}
}

// nothingKept wants a device without a trace of ours.
func (o *outcome) nothingKept() {
	if o.sdk != "browser" {
		o.spoolEmpty()
		return
	}
	var kept struct {
		LocalStorage map[string]string `json:"localStorage"`
		Cookies      map[string]string `json:"cookies"`
	}
	v, err := exact(o.out.Storage)
	if err != nil || !decode(v, &kept) {
		o.errorf("storage: %s: %v", o.out.Storage, err)
	}
	if len(kept.LocalStorage)+len(kept.Cookies) > 0 {
		o.errorf("on the device: %s", o.out.Storage)
	}
}

// spoolEmpty wants no line in any segment below the folder of the run.
func (o *outcome) spoolEmpty() {
	files, err := filepath.Glob(filepath.Join(o.dir, "spool", "*.ndjson"))
	if err != nil {
		o.errorf("%v", err)
	}
	for _, name := range files {
		if data, err := os.ReadFile(name); err != nil || len(data) > 0 {
			o.errorf("%s holds %q, %v", filepath.Base(name), tail(string(data)), err)
		}
	}
}

// spoolFull wants the bound of the spool to hold, and to be the only reason for refusals.
func (o *outcome) spoolFull() {
	most, _ := strconv.ParseInt(plainNumber(o.in.Config["spoolBytes"]), 10, 64)
	files, err := filepath.Glob(filepath.Join(o.dir, "spool", "*.ndjson"))
	if err != nil || len(files) == 0 {
		o.errorf("no segments: %v", err)
	}
	total := int64(0)
	for _, name := range files {
		if info, err := os.Stat(name); err == nil {
			total += info.Size()
		}
	}
	if total > most || total < most/2 {
		o.errorf("the spool holds %d bytes, want %d to %d", total, most/2, most)
	}
	refused, dropped := o.out.Refused["spool_full"], o.droppedByReason()
	if refused < 8 || len(dropped) != 1 || dropped["spool_full"] != refused {
		o.errorf("refused %v, dropped %v, want spool_full alone", o.out.Refused, dropped)
	}
}

// untouched wants the files that lay there before to lie there as they were.
func (o *outcome) untouched() {
	for name, f := range o.run.Files {
		data, err := os.ReadFile(filepath.Join(o.dir, name))
		if err != nil || strings.HasSuffix(name, ".ndjson") && string(data) != f.Text {
			o.errorf("%s was changed: %v", name, err)
		}
	}
}

// fifteen wants that many events, of parent and children.
func (o *outcome) fifteen() {
	seen := map[string]bool{}
	for _, r := range o.requests {
		for _, id := range r.ids() {
			seen[id] = true
		}
	}
	o.equal("events of parent and children", len(seen), 15)
}
