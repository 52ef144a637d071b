package ingest

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

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

func (s *Server) httpServer() *http.Server {
	t := s.cfg.Timeouts
	srv := &http.Server{
		Handler:                      s,
		DisableGeneralOptionsHandler: true, // its answer has no CORS headers
		ReadHeaderTimeout:            t.Header,
		ReadTimeout:                  t.Header + t.Body,
		WriteTimeout:                 t.Header + t.Body + t.AnswerTimeout + 30*time.Second, // for who does not read the answer
		IdleTimeout:                  t.Idle,
		MaxHeaderBytes:               int(s.cfg.Limits.Header) - 4096, // net/http adds as much
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	if s.certificate != nil {
		srv.TLSConfig = s.certificate.config()
		// HTTP/2 adds 320 for its own way to count, and HTTP/1.1 still as much as above.
		srv.MaxHeaderBytes = int(s.cfg.Limits.Header) - 320
		srv.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 100} // a connection is one of limits.connections all the same
	}
	return srv
}

// accept serves the connections of the listener.
func (s *Server) accept(srv *http.Server) error {
	if s.certificate != nil {
		return srv.ServeTLS(s.listener, "", "") // the pair is in the configuration
	}
	return srv.Serve(s.listener)
}
