//go:build linux || darwin || freebsd

package ingest

import (
	"os"
	"syscall"
)

// tryLock takes f for this process, or says that another has it.
func tryLock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor is small
}

// freeBytes is the room that the file system of dir has for this user.
func freeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:gosec,unconvert // their types differ between systems
}
