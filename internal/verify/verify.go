package verify

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/millstream-data/millstream/internal/kafka"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/metric"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// Options say what to compare.
type Options struct {
	From, To time.Time     // days in UTC, both included
	Source   string        // the folder of a source in the lake; empty: all
	Rows     bool          // compare rows, too, and not only their numbers
	Wait     time.Duration // for commits to reach what metrics have counted
}

// Deps are what is compared. The caller closes them.
type Deps struct {
	Lake      *lake.Lake
	Warehouse *warehouse.Client
	Window    time.Duration // of duplicates, as the loader has it
	Metrics   metric.Store  // nil: not compared
	Kafka     *kafka.Config // nil: what no commit has yet is not counted
	Dir       string        // for one data object at a time
	Log       *slog.Logger
}

// skew is how far the clocks of those who receive events and of those who
// commit them may be apart.
const skew = time.Hour

type verifier struct {
	Deps
	o     Options
	names lake.Namer

	metrics *counted
	log     *logs // nil: not read
	stored  *stored
	books   *books
	mirrors map[string]*mirrored   // by target
	begins  map[lake.ChainID]int64 // where reading of a chain began
	ends    map[lake.ChainID]int64 // and where its commits end
	told    map[string]bool        // files that cannot be read, of which a finding tells
	report  *Report
}

// Run compares. A difference is in the report; an error means that the
// comparison could not be made.
func Run(ctx context.Context, o Options, d Deps) (*Report, error) {
	v := &verifier{
		Deps: d, o: o, books: newBooks(), mirrors: map[string]*mirrored{}, told: map[string]bool{},
		report: &Report{From: day(o.From), To: day(o.To), At: time.Now().UTC().Truncate(time.Second), Lines: []Line{}, Tables: []TableLine{}, Mirrors: []Mirror{}},
	}
	for _, step := range []func(context.Context) error{v.readMetrics, v.readWarehouse, v.openLog, v.readLake, v.readLog, v.readMirrors, v.compareRows} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	v.balance()
	v.report.Balanced = len(v.report.Findings) == 0
	return v.report, nil
}

// wanted says whether a source and day are to be compared.
func (v *verifier) wanted(source, dt string) bool {
	return v.ofSource(source) && dt >= day(v.o.From) && dt <= day(v.o.To)
}

func (v *verifier) ofSource(source string) bool {
	return v.o.Source == "" || v.o.Source == source
}

// end is the first moment after the range.
func (v *verifier) end() time.Time { return v.o.To.AddDate(0, 0, 1) }

func (v *verifier) finding(format string, args ...any) {
	v.report.Findings = append(v.report.Findings, fmt.Sprintf(format, args...))
}

// note says what is not compared, and why.
func (v *verifier) note(format string, args ...any) {
	v.report.NotCompared = append(v.report.NotCompared, fmt.Sprintf(format, args...))
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// ParseDays reads the first and last day of a range; empty ones are yesterday
// and today, UTC.
func ParseDays(from, to string, now time.Time) (first, last time.Time, err error) {
	today := now.UTC().Truncate(24 * time.Hour)
	first, last = today.AddDate(0, 0, -1), today
	if to != "" {
		if last, err = time.Parse(time.DateOnly, to); err != nil {
			return first, last, fmt.Errorf("--to %q: want a day such as %s", to, day(now))
		}
		first = last
	}
	if from != "" {
		if first, err = time.Parse(time.DateOnly, from); err != nil {
			return first, last, fmt.Errorf("--from %q: want a day such as %s", from, day(now))
		}
	}
	if last.Before(first) {
		return first, last, fmt.Errorf("--from %s is after --to %s", day(first), day(last))
	}
	return first, last, nil
}

// pause waits, and says whether ctx has not ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
