//go:build cgo && !unix

package redshift

// fileLock is DuckDB's own lock on systems without flock; it does not see a second server in the same process.
type fileLock struct{}

func lockFile(_, _ string) (*fileLock, error) { return &fileLock{}, nil }

func (l *fileLock) release() error { return nil }
