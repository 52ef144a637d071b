package telemetry_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/telemetry"
)

func constant(c telemetry.Check) telemetry.CheckFunc {
	return func(context.Context) telemetry.Check { return c }
}

func TestWorstCheckDecides(t *testing.T) {
	t.Parallel()
	h := telemetry.NewHealth()
	if got := h.Report(t.Context()); got.State != telemetry.StateReady || len(got.Checks) != 0 {
		t.Errorf("without checks: %v", got)
	}
	h.Register("kafka", constant(telemetry.Ready("Kafka acknowledges.")))
	h.Register("ingest", constant(telemetry.Degraded("%d lanes are spooled.", 3)))
	if got, want := h.Report(t.Context()).String(), "degraded\ningest: degraded: 3 lanes are spooled.\nkafka: ready: Kafka acknowledges.\n"; got != want {
		t.Errorf("got %s", cmp.Diff(want, got))
	}
	h.Register("store", constant(telemetry.NotReady("The store refuses the password.")))
	if got := h.Report(t.Context()).State; got != telemetry.StateNotReady {
		t.Errorf("got %s", got)
	}
	h.Register("store", constant(telemetry.Ready("The store answers.")))
	if got := h.Report(t.Context()).State; got != telemetry.StateDegraded {
		t.Errorf("after a check was replaced: got %s", got)
	}
	h.Drain("The process is stopping.")
	if got := h.Report(t.Context()); got.State != telemetry.StateNotReady || got.Checks[2].Sentence != "The process is stopping." {
		t.Errorf("after Drain: %v", got)
	}
}

func TestHangingCheckIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := telemetry.NewHealth()
		h.Register("fast", constant(telemetry.Ready("Here.")))
		end := make(chan struct{})
		defer close(end)
		h.Register("slow", func(context.Context) telemetry.Check {
			<-end // it does not even look at its context
			return telemetry.Ready("Too late.")
		})
		begin := time.Now()
		got := h.Report(t.Context())
		if took := time.Since(begin); took > time.Second {
			t.Errorf("took %s", took)
		}
		want := telemetry.Report{State: telemetry.StateNotReady, Checks: []telemetry.NamedCheck{
			{Name: "fast", Check: telemetry.Ready("Here.")},
			{Name: "slow", Check: telemetry.NotReady("The check gave no answer within 800ms.")},
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}
