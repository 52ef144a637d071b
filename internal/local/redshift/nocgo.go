//go:build !cgo

package redshift

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"
)

// noCgo is the answer to every connection.
const noCgo = "the local Redshift needs a build with cgo; configure a real one under warehouse.dsn"

// maxStartup is the longest start-up packet in bytes that PostgreSQL takes.
const maxStartup = 10_000

// Server stands where the local Redshift would be and says why it is not.
type Server struct {
	listener net.Listener
	faults   Faults
	log      *slog.Logger
}

// New binds the address; the database needs cgo.
func New(cfg Config, _ Objects, log *slog.Logger) (*Server, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Listen, err)
	}
	return &Server{listener: l, log: log}, nil
}

// Run answers every connection with a FATAL error until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	s.log.Warn("local redshift unavailable", "reason", noCgo)
	defer context.AfterFunc(ctx, func() { _ = s.listener.Close() })()
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		answer(conn)
	}
}

// answer reads the start-up packet, of which an SSLRequest may come first, and refuses.
func answer(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	for {
		var head [8]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		switch binary.BigEndian.Uint32(head[4:]) {
		case 80877103, 80877104: // SSLRequest, GSSENCRequest
			if _, err := conn.Write([]byte{'N'}); err != nil {
				return
			}
			continue
		}
		// What is left unread at the end would reset the connection, and the client might never see the answer.
		_, _ = io.CopyN(io.Discard, conn, min(int64(binary.BigEndian.Uint32(head[:4])), maxStartup)-int64(len(head)))
		body := "SFATAL\x00C0A000\x00M" + noCgo + "\x00\x00"
		msg := binary.BigEndian.AppendUint32([]byte{'E'}, uint32(4+len(body)))
		_, _ = conn.Write(append(msg, body...))
		return
	}
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Faults has no effect here.
func (s *Server) Faults() *Faults { return &s.faults }

// Close ends the listener.
func (s *Server) Close() error {
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// MeasureReference needs DuckDB, and with it cgo.
func MeasureReference(context.Context, Config, string, map[string][]string) (int64, time.Duration, error) {
	return 0, 0, errors.New("the reference is DuckDB, which needs a build with cgo")
}
