package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// lockFolder makes dir and takes it for this process; the lock ends with the
// process, however that ends.
func lockFolder(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := tryLock(f); err != nil {
		var holder [32]byte
		n, _ := f.ReadAt(holder[:], 0)
		_ = f.Close()
		return nil, fmt.Errorf("%s is in use by process %s; stop that one, or choose another folder with --data-dir", dir, holder[:n])
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0) // names the holder to whoever comes second; the lock holds without it
	}
	return f, nil
}
