//go:build unix

package millstream

import (
	"errors"
	"syscall"
)

// gone reports whether this host has no process pid.
func gone(pid int) bool { return pid > 0 && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
