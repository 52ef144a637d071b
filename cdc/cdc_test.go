package cdc

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/wire"
)

func TestRowsReachTheTopic(t *testing.T) {
	t.Parallel()
	s := setup(t, orders)
	for i := range 30 {
		s.exec("INSERT INTO orders (id, total, note, updated_at) VALUES (?, '12.3', 'old', '2020-01-01 00:00:00')", i)
	}
	stop := s.run(nil)
	s.awaitNote(29, "old")
	s.insert(100, "new")
	s.awaitNote(100, "new")
	s.update(3, "changed")
	s.awaitNote(3, "changed")
	stop()

	got := s.topic()
	if diff := cmp.Diff(s.origin(), got.notes()); diff != "" {
		t.Errorf("mirror differs (-origin +mirror):\n%s", diff)
	}
	if got.headers[0].Kind != wire.KindSchema {
		t.Errorf("the first record is of kind %s, want the schema mark", got.headers[0].Kind)
	}
	for v, n := range got.versions() {
		if n != 1 {
			t.Errorf("version %s was published %d times", v, n)
		}
	}
	var loads []string
	for _, h := range got.headers {
		if h.Kind != wire.KindPoll {
			continue
		}
		m, err := wire.DecodePoll(h.Body)
		if err != nil {
			t.Fatal(err)
		}
		if m.Kind == event.PollLoad {
			loads = append(loads, m.State)
			if m.State == "completed" && (m.Rows != 30 || m.CompleteThrough == nil) {
				t.Errorf("load mark: got %+v, want 30 rows and a watermark", m)
			}
		}
	}
	if diff := cmp.Diff([]string{"started", "completed"}, loads); diff != "" {
		t.Errorf("marks of the load (-want +got):\n%s", diff)
	}
}
