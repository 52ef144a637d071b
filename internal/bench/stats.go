package bench

import (
	"fmt"
	"slices"
	"time"
)

// Latencies is a set of durations. All of them are kept, so percentiles are
// exact.
type Latencies []time.Duration

// Percentile returns the smallest duration that at least p percent of the set
// do not exceed (nearest rank), or 0 of an empty set. It sorts l.
func (l Latencies) Percentile(p float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	slices.Sort(l)
	rank := int(float64(len(l))*p/100+0.999999) - 1
	return l[min(max(rank, 0), len(l)-1)]
}

// Summary is what a report says of a set of durations, in milliseconds.
type Summary struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

// Summarise returns the summary of l.
func (l Latencies) Summarise() Summary {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return Summary{Count: len(l), P50: ms(l.Percentile(50)), P90: ms(l.Percentile(90)), P99: ms(l.Percentile(99)), Max: ms(l.Percentile(100))}
}

func (s Summary) String() string {
	return fmt.Sprintf("p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, max %.1f ms (%d)", s.P50, s.P90, s.P99, s.Max, s.Count)
}
