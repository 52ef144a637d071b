package ingest

import (
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// limited accepts no more than a number of connections at a time; further ones wait in the kernel's queue.
type limited struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
	open  prometheus.Gauge
}

func limitListener(ln net.Listener, n int, open prometheus.Gauge) net.Listener {
	return &limited{Listener: ln, slots: make(chan struct{}, n), done: make(chan struct{}), open: open}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	l.open.Inc()
	return &limitedConn{Conn: c, l: l}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	l    *limited
	once sync.Once
}

func (c *limitedConn) Close() error {
	c.once.Do(func() {
		<-c.l.slots
		c.l.open.Dec()
	})
	return c.Conn.Close()
}

// CloseWrite is what net/http does before it closes with something unread, so that its answer arrives: a close alone
// would reset the connection, and throw away what the client has not read yet.
func (c *limitedConn) CloseWrite() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return nil
}
