package ingest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/testkit"
)

// segmentOf returns the bytes of a segment with the events from to to of user u, and where each frame begins.
func segmentOf(seq uint64, from, to int) (b []byte, starts []int) {
	b = newSegmentHeader(seq)
	for n := from; n < to; n++ {
		starts = append(starts, len(b))
		b = appendFrame(b, frameEvents, &kgo.Record{Key: []byte("app/u"), Value: []byte(numbered("u", n)), Headers: []kgo.RecordHeader{{Key: "received_at", Value: []byte("1772359201200")}}})
	}
	return b, starts
}

// Disks forget bits, in the first segment as in the last. What is whole is sent.
func TestDamageCostsNothingButItself(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		harm func(b []byte, starts []int) []byte
		lost []int
		kept string
		torn string
	}{
		"a body":              {func(b []byte, at []int) []byte { b[at[5]+30] ^= 1; return b }, []int{5}, ".corrupt", ".corrupt"},
		"two bodies in a row": {func(b []byte, at []int) []byte { b[at[5]+30] ^= 1; b[at[6]+30] ^= 1; return b }, []int{5, 6}, ".corrupt", ".corrupt"},
		"the last body":       {func(b []byte, at []int) []byte { b[at[9]+30] ^= 1; return b }, []int{9}, ".corrupt", ".torn"},
		"a length":            {func(b []byte, at []int) []byte { b[at[7]+3] = 0x7f; return b }, []int{7, 8, 9}, ".corrupt", ".torn"},
		"the header":          {func(b []byte, _ []int) []byte { b[3] ^= 1; return b }, nil, ".corrupt", ".corrupt"},
		"the end":             {func(b []byte, at []int) []byte { return b[:at[9]+12] }, []int{9}, ".corrupt", ".torn"},
	}
	for name, c := range cases {
		for _, last := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, last segment %v", name, last), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				spool := filepath.Join(dir, "spool")
				if err := os.MkdirAll(spool, 0o700); err != nil {
					t.Fatal(err)
				}
				b, starts := segmentOf(3, 0, 10)
				write(t, filepath.Join(spool, segmentName(3)), c.harm(b, starts))
				total, kept := 10, c.torn
				if !last {
					total, kept = 15, c.kept
					b, _ = segmentOf(4, 10, 15)
					write(t, filepath.Join(spool, segmentName(4)), b)
				}
				_, kcfg := testkit.Kafka(t)
				e := setupAt(t, kcfg, func(c *Config) { c.DataDir = dir })
				e.untilDirect(t)
				got := e.arrived(t, total-len(c.lost))["u"]
				var want []int
				for n := range total {
					if len(c.lost) == 0 || n < c.lost[0] || n > c.lost[len(c.lost)-1] {
						want = append(want, n)
					}
				}
				equal(t, "events", got, want)
				testkit.Eventually(t, "the damaged file should be kept", func() error {
					_, err := os.Stat(filepath.Join(spool, segmentName(3)) + kept)
					return err
				})
				equal(t, "counted", e.metric(t, "spool_errors_total", strings.TrimPrefix(kept, ".")), 1.0)
				if _, err := os.Stat(filepath.Join(spool, segmentName(3))); !errors.Is(err, os.ErrNotExist) && kept == ".corrupt" {
					t.Errorf("the segment is still there: %v", err)
				}
			})
		}
	}
}
