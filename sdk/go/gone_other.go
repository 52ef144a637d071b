//go:build !unix

package millstream

import "os"

// gone reports whether this host has no process pid. Where FindProcess always succeeds, the lease's age decides alone.
func gone(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return true
	}
	_ = p.Release()
	return false
}
