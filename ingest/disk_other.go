//go:build !linux && !darwin && !freebsd

package ingest

import (
	"math"
	"os"
)

// tryLock has no lock to take on systems without flock.
func tryLock(*os.File) error { return nil }

// freeBytes is not known on systems without statfs; max_bytes bounds the spool there.
func freeBytes(string) (int64, error) { return math.MaxInt64, nil }
