// make test runs these with the race detector; real services would change nothing.

//go:build !integration

package e2e

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDrainOnlyEmptiesTheSpoolOfAKilledIngest is what an operator does with the volume of a lost pod.
func TestDrainOnlyEmptiesTheSpoolOfAKilledIngest(t *testing.T) {
	t.Parallel()
	broker := newMoody(t)
	broker.leave()
	sys := ingestBefore(t, broker, "  spool: {min_free: 1MiB}\n")
	sys.start()
	c := newCrowd(sys, 3, 5, 10, 0)
	stop := make(chan struct{})
	wait := c.run(stop)
	sys.eventually("events are taken", time.Minute, func() error {
		if c.sent() < 500 {
			return errors.New("not yet")
		}
		return nil
	})
	close(stop)
	wait()
	sys.kill()
	drain := &system{tb: t, args: append(slices.Clone(sys.args), "--drain-only", "--timeout", "1s")}
	if out := drain.fails(); !strings.Contains(out, "are left, and stay there: Kafka was not reached yet") {
		t.Errorf("Kafka is away:\n%s", out)
	}
	broker.come()
	drain.args = append(slices.Clone(sys.args), "--drain-only")
	drain.succeeds()
	c.arrived(t, broker.cfg)
	drain.succeeds() // there is nothing left to do
}

func TestSecondSignalEndsIngestSoon(t *testing.T) {
	t.Parallel()
	sys := ingestBefore(t, newMoody(t), "  timeouts: {drain_delay: 10m}\n")
	sys.start()
	if err := sys.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	sys.eventually("it drains", time.Minute, func() error {
		if _, err := sys.get(sys.admin + "/readyz"); err == nil {
			return errors.New("it is ready")
		}
		if !strings.Contains(sys.printed(), "once more to hurry") {
			return errors.New("it has not heard")
		}
		return nil
	})
	sys.stop() // the second one, after which it ends without an error
}
