package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen opens the TCP address that the key named key holds. The error says which address was refused, why, and by which key
// to change it.
func Listen(ctx context.Context, key, addr string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	switch {
	case err == nil:
		return ln, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: the port is taken by another process; end it, or choose another by --set %s=HOST:PORT: %w",
			addr, key, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen on %s: this user may not; choose a port from 1024 upwards by --set %s=HOST:PORT: %w",
			addr, key, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("listen on %s: this machine has no such address; choose one by --set %s=HOST:PORT: %w",
			addr, key, err)
	}
	return nil, fmt.Errorf("%s: listen on %s: %w", key, addr, err)
}
