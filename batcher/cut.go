package batcher

import (
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// cut says why an open range ends; its text is the label and the commit's member.
type cut string

const (
	cutNone   cut = ""
	cutAge    cut = "age"
	cutBytes  cut = "bytes"
	cutRows   cut = "rows"
	cutFiles  cut = "files"
	cutMemory cut = "memory"
	cutRevoke cut = "revoke"
	cutDrain  cut = "drain"
	cutLoss   cut = "loss"
)

func cuts() []cut {
	return []cut{cutAge, cutBytes, cutRows, cutFiles, cutMemory, cutRevoke, cutDrain, cutLoss}
}

// load is what a chain's open range amounts to.
type load struct {
	records int64 // that have arrived, whatever became of them
	opened  time.Time
	rows    int64
	files   int
	bytes   int64 // estimated size of its files
	memory  int64 // held by rows that are not yet in a file
}

// due says whether the range must end by the limits of its own. Sizes come
// before age, so that the counter tells load from idleness. A range without a
// record never ends: the chain's position is right as it is.
func (l load) due(now time.Time, c CutConfig) cut {
	switch {
	case l.records == 0:
		return cutNone
	case l.bytes >= int64(c.Bytes):
		return cutBytes
	case l.rows >= c.Rows:
		return cutRows
	case l.files >= c.Files:
		return cutFiles
	case now.Sub(l.opened) >= c.Age:
		return cutAge
	}
	return cutNone
}

// largest returns the index of the load that must be cut for the sake of
// memory, or -1. Cutting begins at nine tenths of the limit, since a cut needs
// time to give its memory back.
func largest(loads []load, limit config.Bytes) int {
	var sum int64
	at := -1
	for i, l := range loads {
		sum += l.memory
		if l.records > 0 && (at < 0 || l.memory > loads[at].memory) {
			at = i
		}
	}
	if sum < int64(limit)/10*9 {
		return -1
	}
	return at
}
