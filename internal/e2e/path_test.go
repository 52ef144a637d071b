// make test runs these with the race detector; real services would change nothing.

//go:build !integration

package e2e

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFirstEventReachesEveryEnd(t *testing.T) {
	t.Parallel()
	sys := newDev(t)
	sys.start()
	status, answer, err := sys.post("/v1/track", []byte(`{"userId":"u1","event":"Order Completed","messageId":"m-1","properties":{"total":12.5,"currency":"EUR","plan":"pro","quantity":3,"gift":true}}`))
	if err != nil || status != http.StatusOK {
		t.Fatalf("track: %d %s %v", status, answer, err)
	}
	sys.eventually("the event is in the warehouse", within, func() error {
		return sameCounts(sys, "SELECT event, COUNT(*) FROM app.tracks GROUP BY 1", "order_completed", "1")
	})
	sys.eventually("its table has typed columns", within, func() error {
		return sameCounts(sys, "SELECT user_id, total, quantity, gift, total + quantity FROM app.order_completed", "u1", "12.5", "3", "t", "15.5")
	})
	sys.eventually("the metric has it", within, func() error { return sys.sameMetric("metric=orders", "1") })
	sys.eventually("the revenue has it", within, func() error { return sys.sameMetric("metric=revenue", "12.50") })
	sys.eventually("the day's users by plan have it", within, func() error {
		got, err := sys.metric("metric=dau&by=plan")
		if err == nil && (len(got) != 1 || got[0][0] != "pro" || got[0][1] != "1") {
			err = fmt.Errorf("want one user on pro, got %v", got)
		}
		return err
	})
	sys.stop()
}

func TestSixCallsAndOneBadEvent(t *testing.T) {
	t.Parallel()
	sys := newDev(t)
	sys.start()
	status, answer, err := sys.post("/v1/batch", []byte(`{"batch":[
		{"type":"identify","userId":"u1","messageId":"b1","traits":{"email":"u1@example.com","age":41}},
		{"type":"track","userId":"u1","messageId":"b2","event":"Signed Up"},
		{"type":"page","userId":"u1","messageId":"b3","name":"Home"},
		{"type":"screen","userId":"u1","messageId":"b4","name":"Start"},
		{"type":"group","userId":"u1","messageId":"b5","groupId":"g1","traits":{"seats":5}},
		{"type":"alias","userId":"u1","messageId":"b6","previousId":"anon"},
		{"type":"track","messageId":"b7","event":"Nobody"}]}`))
	if err != nil || status != http.StatusOK {
		t.Fatalf("batch: %d %s %v", status, answer, err)
	}
	var got struct {
		Success  bool
		Accepted int
		Rejected []struct {
			Index           int
			MessageID, Code string
		}
	}
	if err := json.Unmarshal(answer, &got); err != nil {
		t.Fatal(err)
	}
	if !got.Success || got.Accepted != 6 || len(got.Rejected) != 1 || got.Rejected[0].Index != 6 || got.Rejected[0].Code != "missing_identity" {
		t.Fatalf("want six accepted and the seventh told apart, got %s", answer)
	}
	for table, want := range map[string]string{
		"identifies": "u1@example.com", "pages": "Home", "screens": "Start", "groups": "g1", "aliases": "anon", "users": "u1@example.com", "accounts": "5",
	} {
		column := map[string]string{"identifies": "email", "pages": "name", "screens": "name", "groups": "group_id", "aliases": "previous_id", "users": "email", "accounts": "seats"}[table]
		sys.eventually(table+" has its row", within, func() error {
			return sameCounts(sys, "SELECT "+column+" FROM app."+table, want)
		})
	}
	sys.stop()
}

// TestDemoIsOneStory compares the three places in which the made-up shop's
// orders end up: its own database, the warehouse and the wallboard.
func TestDemoIsOneStory(t *testing.T) {
	t.Parallel()
	sys := newDev(t, "--demo")
	sys.start()
	// Soon after midnight there is no past day yet, and nights are quiet.
	sys.eventually("the shop sells", 2*time.Minute, func() error {
		got, err := sys.query("SELECT COUNT(*) > 0 FROM app.order_completed")
		if err == nil && got[0][0] != "t" {
			err = errors.New("not yet")
		}
		return err
	})
	sys.stop()
	sys.args = sys.args[:len(sys.args)-1]
	sys.start() // the shop is closed, so the numbers stand still
	sys.eventually("orders of the web site join the mirrored table to the cent", time.Minute, func() error {
		got, err := sys.query("SELECT COUNT(*), COUNT(o.id), ROUND(SUM(e.total) * 100) = ROUND(SUM(o.total) * 100) FROM app.order_completed e LEFT JOIN shop_main.orders o ON o.id = e.order_id")
		if err == nil && (got[0][0] == "0" || got[0][0] != got[0][1] || got[0][2] != "t") {
			err = fmt.Errorf("orders, of them mirrored, equal totals: %v", got)
		}
		return err
	})
	sys.eventually("the mirror has what the shop has", time.Minute, func() error {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(sys.dir, "shop.db")+"?mode=ro")
		if err != nil {
			return err
		}
		defer db.Close()
		for _, table := range []string{"orders", "customers"} {
			var n string
			if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
				return err
			}
			if err := sameCounts(sys, "SELECT COUNT(*) FROM shop_main."+table, n); err != nil {
				return err
			}
		}
		return nil
	})
	sys.eventually("the wallboard has what the warehouse has", time.Minute, func() error {
		got, err := sys.query("SELECT COUNT(*) FROM app.order_completed")
		if err != nil {
			return err
		}
		return sys.sameMetric("metric=orders&range=40d", got[0][0])
	})
	sys.stop()
}

func TestMetricsOfEveryRoleAreServed(t *testing.T) {
	t.Parallel()
	sys := newDev(t, "--demo")
	sys.start()
	sys.eventually("every role tells how it fares", within, func() error {
		b, err := sys.get(sys.admin + "/metrics")
		if err != nil {
			return err
		}
		for _, want := range []string{
			"millstream_build_info", "millstream_ingest_events_accepted_total", "millstream_cdc_polls_total", "millstream_batcher_records_total",
			"millstream_loader_loads_total", "millstream_rollup_records_total", "millstream_serve_connections",
			`millstream_objstore_requests_total{op="create",outcome="ok",role="batcher"}`,
		} {
			if !strings.Contains(string(b), want) {
				return fmt.Errorf("/metrics lacks %s", want)
			}
		}
		return nil
	})
	sys.stop()
}

func TestThirdSignalAborts(t *testing.T) {
	t.Parallel()
	sys := newDev(t, "--set", "ingest.timeouts.drain_delay=1h")
	sys.start()
	if err := sys.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	sys.eventually("readiness says that it stops", within, func() error {
		if _, err := sys.get(sys.admin + "/readyz"); err == nil || !strings.Contains(err.Error(), "503") {
			return fmt.Errorf("want 503, got %w", err)
		}
		return nil
	})
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} { // the second one hurries ingest
		if err := sys.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	err := <-sys.exited
	sys.cmd = nil
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Fatalf("want exit code 130, got %v", err)
	}
	sys.args = sys.args[:len(sys.args)-2]
	sys.start() // an abort loses nothing and leaves nothing locked
	sys.stop()
}

func TestSecondProcessNamesTheFirst(t *testing.T) {
	t.Parallel()
	sys := newDev(t)
	sys.start()
	other := newDev(t)
	for i, a := range sys.args {
		if a == "--data-dir" {
			other.args = append(other.args, "--data-dir", sys.args[i+1])
		}
	}
	text := other.fails()
	if !strings.Contains(text, "in use by process") {
		t.Fatalf("want the holder's number, got:\n%s", text)
	}
	sys.stop()
}
