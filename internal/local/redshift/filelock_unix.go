//go:build cgo && unix

package redshift

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// fileLock keeps a second server, of this process or another, off the same folder. The kernel frees it with the
// process, however that ends.
type fileLock struct{ file *os.File }

// lockFile takes the lock and writes who holds it, for the message that the next one gets.
func lockFile(path, listen string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path)
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: held by %s", path, strings.TrimSpace(string(holder)))
	}
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(f, "process %d, listening on %s\n", os.Getpid(), listen)
	return &fileLock{f}, err
}

func (l *fileLock) release() error { return l.file.Close() }
