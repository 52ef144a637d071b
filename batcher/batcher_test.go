package batcher_test

import (
	"testing"
)

func TestIdleCut(t *testing.T) {
	w := setup(t)
	w.start(quick(t))
	w.send(0, w.tracks(1)...)
	commits := w.until(w.names.Events(), 0, 1) // nothing follows the event
	if len(commits) != 1 || commits[0].Cut != "age" || commits[0].Prev != nil {
		t.Errorf("commits %+v", commits)
	}
	w.sound()
}
