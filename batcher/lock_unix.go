//go:build linux || darwin || freebsd

package batcher

import (
	"os"
	"syscall"
)

// tryLock takes f for this process, or says that another has it.
func tryLock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor is small
}
