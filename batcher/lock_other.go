//go:build !linux && !darwin && !freebsd

package batcher

import "os"

// tryLock has no lock to take on systems without flock.
func tryLock(*os.File) error { return nil }
