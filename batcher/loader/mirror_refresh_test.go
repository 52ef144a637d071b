//go:build cgo

package loader

import (
	"fmt"
	"os"
	"testing"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/local/redshift"
)

// TestFullRefreshSwap cuts the connection at statements of the load that
// completes a full refresh and of its swap, while writes go on.
func TestFullRefreshSwap(t *testing.T) {
	t.Parallel()
	for i, action := range []redshift.FaultAction{redshift.CutBefore, redshift.CutAfter, redshift.CutDuring} {
		t.Run(string(action), func(t *testing.T) {
			t.Parallel()
			k := setup(t)
			o := k.origin(1)
			l := k.loader(k.client)
			for key := range int64(6) {
				o.put(key, key)
			}
			o.flush()
			k.wave(k.tenure(l))
			step := 9
			if os.Getenv("MILLSTREAM_TEST_LONG") != "" {
				step = 1
			}
			for at := i * step / 3; ; at += step {
				o.remove(0)
				r := o.begin(event.PollFull, all).read(2)
				o.put(100, int64(at))
				o.flush()
				k.recover(l)
				o.remove(4) // before its page is read
				o.put(3, int64(at))
				r.end()
				o.put(5, int64(at))
				o.put(int64(200+at), 1)
				o.flush()
				w := k.tenure(l)
				before := k.server.Faults().Struck()
				k.server.Faults().Inject(redshift.Fault{Action: action, Skip: at})
				failures, err := w.once(t.Context(), t.Context())
				w.conn.Close() // a server has so many sessions
				struck := k.server.Faults().Struck() > before
				k.server.Faults().Clear()
				if struck && err == nil && len(failures) == 0 {
					t.Logf("statement %d was cut and the wave did not need it", at)
				}
				k.recover(l)
				o.same(fmt.Sprintf("cut at %d", at))
				o.state("full|done")
				o.put(0, 0)
				o.put(4, 4)
				if !struck {
					break
				}
			}
			o.flush()
			k.recover(l)
			o.same("at the end")
			// A swap whose answer was lost leaves the old table to maintenance.
			for _, old := range k.query("SELECT table_name FROM svv_tables WHERE table_name LIKE 'stock__old_%'") {
				k.exec("DROP TABLE shop_public." + old)
			}
			o.tidy()
		})
	}
}
