package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millstream-data/millstream/internal/testkit"
)

// attentive makes a server look at its topics every second, as it does while Kafka is in trouble.
func attentive(s *Server) { s.producer.lastFail.Store(time.Now().Add(time.Hour).UnixNano()) }

func (e *edge) grow(t *testing.T, n int) {
	t.Helper()
	resp, err := kadm.NewClient(testkit.KafkaClient(t, e.kafka)).UpdatePartitions(t.Context(), n, e.kafka.Names().Events())
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (e *edge) untilLanes(t *testing.T, n int) {
	t.Helper()
	testkit.Eventually(t, fmt.Sprintf("there should be %d lanes", n), func() error {
		if have := len(e.producer.lanes.Load().events); have != n {
			return fmt.Errorf("%d", have)
		}
		return nil
	})
}

// complete checks that no number is missing; more partitions have no order among them.
func complete(t *testing.T, got map[string][]int, want map[string]int) {
	t.Helper()
	for user, n := range want {
		numbers := slices.Sorted(slices.Values(got[user]))
		for i := range n {
			if i >= len(numbers) || numbers[i] != i {
				t.Errorf("%s: number %d of %d is missing: %v", user, i, n, numbers)
				break
			}
		}
	}
}

func TestPartitionsGrowUnderLoad(t *testing.T) {
	t.Parallel()
	broker, kcfg := testkit.Kafka(t)
	e := setupFaulty(t, kcfg, attentive)
	e.broker = broker
	e.untilDirect(t)
	stop := make(chan struct{})
	wait, sent := e.load(8, stop)
	until(t, sent, 200)
	e.grow(t, 8)
	e.untilLanes(t, 8)
	until(t, sent, 200)
	close(stop)
	want := wait()
	complete(t, e.arrived(t, int(sent.Load())), want)
	e.events(t, int(sent.Load()))
	used := map[int32]bool{}
	for _, r := range e.events(t, int(sent.Load())) {
		used[r.Partition] = true
	}
	if slices.Max(slices.Collect(maps.Keys(used))) < 4 {
		t.Errorf("partitions %v are used", used)
	}
}

func TestPartitionsThatGrowAreAdoptedWhenTheSpoolIsEmpty(t *testing.T) {
	t.Parallel()
	broker, kcfg := testkit.Kafka(t)
	e := setupFaulty(t, kcfg, attentive, impatient)
	e.broker = broker
	e.untilDirect(t)
	revive := e.killPartition0()
	user := oneOnPartition0()[true]
	for n := range 10 {
		equal(t, "status", e.post(t, "/v1/page", numbered(user, n)).status, 200)
	}
	e.grow(t, 8)
	looks := e.producer.lastLook.Load()
	testkit.Eventually(t, "it should look again", func() error {
		if e.producer.lastLook.Load() == looks {
			return errors.New("not yet")
		}
		return nil
	})
	equal(t, "lanes", len(e.producer.lanes.Load().events), 4)
	equal(t, "status", e.post(t, "/v1/page", numbered(user, 10)).status, 200)
	revive()
	attentive(e.Server)
	e.untilLanes(t, 8)
	equal(t, "status", e.post(t, "/v1/page", numbered(user, 11)).status, 200)
	complete(t, e.arrived(t, 12), map[string]int{user: 12})
}

// A frame knows its lane by the number of partitions. A lane is direct while Kafka has yet to acknowledge frames of its;
// under another number they would be another lane's, whose position has passed them.
func TestPartitionsStayWhileAFrameIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	e := setup(t)
	p, names := e.producer, e.kafka.Names()
	ln := p.lanes.Load().events[0]
	held := &entry{ln: ln, r: &kgo.Record{}, at: time.Now().Add(time.Hour), framed: true, told: true}
	ln.mu.Lock()
	ln.link(held)
	ln.mu.Unlock()
	p.adopt(names.Events(), 8, names.Rejected(), 1)
	equal(t, "lanes", len(p.lanes.Load().events), 4)
	equal(t, "they are open again", e.post(t, "/v1/page", page("m")).status, 200)
	ln.mu.Lock()
	ln.unlink(held)
	ln.mu.Unlock()
	p.adopt(names.Events(), 8, names.Rejected(), 1)
	equal(t, "lanes", len(p.lanes.Load().events), 8)
}

func TestSpoolDrainsUnderAnotherNumberOfPartitions(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{1, 3, 7, 8} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			config := func(c *Config) { impatient(c); c.DataDir = dir; c.Timeouts.DrainTimeout = time.Millisecond }
			first := setup(t, config)
			first.killPartition0()
			want := map[string]int{}
			for i, spooled := 0, 0; spooled < 5; i++ { // of all others the lanes are at the end
				user := fmt.Sprintf("user%d", i)
				on0 := partition(murmur2([]byte("app/"+user)), 4) == 0
				for n := range 10 {
					equal(t, "status", first.post(t, "/v1/page", numbered(user, n)).status, 200)
				}
				if on0 {
					want[user] = 10
					spooled++
				}
			}
			first.stop()
			if err := <-first.ended; err != nil {
				t.Fatal(err)
			}
			first.ended <- nil
			var saved positions
			if b, err := os.ReadFile(filepath.Join(spoolDir(first.cfg), positionsFile)); err != nil || json.Unmarshal(b, &saved) != nil || saved.Partitions != 4 {
				t.Fatalf("%s: %v", b, err)
			}
			kcfg, addr := nobody(t)
			kcfg.Topics.Partitions = partitions
			e := setupAt(t, kcfg, config)
			for user := range want { // before it knows their lanes
				equal(t, "status", e.post(t, "/v1/page", numbered(user, 10)).status, 200)
				want[user]++
			}
			testkit.KafkaAt(t, addr, "")
			e.untilDirect(t)
			inOrder(t, e.arrived(t, 55), want)
		})
	}
}
