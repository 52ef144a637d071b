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
	leaseWatch = 11 * time.Second // between two looks at a lease that may be dead: a living owner touches it meanwhile
)

// living holds the owner ids of this process's clients. A lease that names this process is otherwise taken for that of an
// earlier one of its number: in a container, all are number 1.
var living sync.Map

func newOwner() string {
	owner := fmt.Sprintf("%016x", rand.Uint64())
	living.Store(owner, true)
	return owner
}

func leasePath(dir, owner string) string { return filepath.Join(dir, owner+".lease") }

// self is what a lease of this process says: host, process, and the namespace in which its number means something.
func self() (host, pid, namespace string) {
	host, err := os.Hostname()
	if err != nil || host == "" || strings.ContainsAny(host, " \n") {
		host = "unknown"
	}
	return host, strconv.Itoa(os.Getpid()), namespaceOf("/proc")
}

// namespaceOf is boot id and pid namespace, or - where there is no such thing.
func namespaceOf(proc string) string {
	boot, err := os.ReadFile(filepath.Join(proc, "sys/kernel/random/boot_id"))
	if err != nil {
		return "-"
	}
	link, err := os.Readlink(filepath.Join(proc, "self/ns/pid"))
	number := strings.TrimSuffix(strings.TrimPrefix(link, "pid:["), "]")
	if err != nil || number == "" {
		return "-"
	}
	return strings.TrimSpace(string(boot)) + "/" + number
}

func writeLease(dir, owner string) error {
	host, pid, namespace := self()
	return os.WriteFile(leasePath(dir, owner), []byte(host+" "+pid+" "+namespace+"\n"), 0o600)
}

// suspect is a lease as it was when it first looked dead.
type suspect struct {
	text    string
	touched time.Time
	seen    time.Time // by the monotonic clock
}

// free reports whether owner's segments may be taken over: it has left, its process is gone, or its lease is old and stays
// untouched between two looks. Clocks of two machines may differ and may jump, so age alone says nothing.
func (s *spool) free(owner string, now time.Time) bool {
	if _, ok := living.Load(owner); ok {
		return false
	}
	path := leasePath(s.opts.Dir, owner)
	info, err := os.Stat(path)
	if err != nil {
		return os.IsNotExist(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return os.IsNotExist(err)
	}
	host, pid, namespace := self()
	if f := strings.Fields(string(text)); len(f) == 3 && f[0] == host && f[2] == namespace && namespace != "-" {
		if number, err := strconv.Atoi(f[1]); err == nil && (f[1] == pid || gone(number)) {
			return true
		}
	}
	if age := now.Sub(info.ModTime()); age < leaseLife && age > -leaseLife {
		delete(s.suspects, owner)
		return false
	}
	was, known := s.suspects[owner]
	if !known || was.text != string(text) || !was.touched.Equal(info.ModTime()) {
		s.suspects[owner] = suspect{string(text), info.ModTime(), now}
		return false
	}
	return now.Sub(was.seen) >= s.hooks.watch
}
