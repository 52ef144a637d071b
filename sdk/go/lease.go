package millstream

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	leaseTouch = 10 * time.Second
	leaseLife  = 60 * time.Second
)

// living holds the owner ids of this process's clients. A lease that names this host and this pid is otherwise taken for
// that of an earlier process: in a container, all are number 1.
var living sync.Map

func newOwner() string {
	owner := fmt.Sprintf("%016x", rand.Uint64())
	living.Store(owner, true)
	return owner
}

func leasePath(dir, owner string) string { return filepath.Join(dir, owner+".lease") }

func writeLease(dir, owner string) error {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	return os.WriteFile(leasePath(dir, owner), []byte(fmt.Sprintf("%s %d\n", host, os.Getpid())), 0o600)
}

// dead reports whether owner's segments are free to take: its lease is gone, too old, or of a process of this host that
// is gone.
func dead(dir, owner string, now time.Time) bool {
	if _, ok := living.Load(owner); ok {
		return false
	}
	path := leasePath(dir, owner)
	info, err := os.Stat(path)
	if err != nil {
		return os.IsNotExist(err)
	}
	if now.Sub(info.ModTime()) > leaseLife {
		return true
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return os.IsNotExist(err)
	}
	host, number, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	pid, err := strconv.Atoi(number)
	here, _ := os.Hostname()
	return err == nil && host == here && (pid == os.Getpid() || gone(pid))
}
