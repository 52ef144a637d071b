//go:build cgo

package redshift

import (
	"encoding/binary"
	"net"
	"sync"
)

// listener hands out connections that speak as Redshift does.
type listener struct {
	net.Listener
	track func(*clientConn)
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	conn := &clientConn{Conn: c}
	l.track(conn)
	return conn, nil
}

// clientConn rewrites what psql-wire says about the server until it is ready for the first query: version 150000 and
// client_encoding UTF8 are fixed in the library.
type clientConn struct {
	net.Conn
	started bool   // the first ReadyForQuery has passed
	rest    []byte // an unfinished message

	mu      sync.Mutex
	onClose func() // guarded by mu; run once
}

// clientAddr carries the connection through psql-wire, which hands callbacks the remote address only.
type clientAddr struct {
	net.Addr
	conn *clientConn
}

// RemoteAddr implements net.Conn.
func (c *clientConn) RemoteAddr() net.Addr { return clientAddr{c.Conn.RemoteAddr(), c} }

// Close closes the connection and ends the session's running statement.
func (c *clientConn) Close() error {
	c.mu.Lock()
	f := c.onClose
	c.onClose = nil
	c.mu.Unlock()
	if f != nil {
		f()
	}
	return c.Conn.Close()
}

// whenClosed registers f; one function a connection.
func (c *clientConn) whenClosed(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onClose = f
}

// Write implements net.Conn. psql-wire writes whole messages, except for the single byte that answers SSLRequest.
func (c *clientConn) Write(p []byte) (int, error) {
	if c.started || len(p) == 1 && len(c.rest) == 0 {
		return c.Conn.Write(p)
	}
	c.rest = append(c.rest, p...)
	var out []byte
	for len(c.rest) >= 5 {
		size := 1 + int(binary.BigEndian.Uint32(c.rest[1:5]))
		if len(c.rest) < size {
			break
		}
		msg := c.rest[:size]
		c.rest = c.rest[size:]
		switch msg[0] {
		case 'S':
			msg = parameterStatus(msg)
		case 'Z':
			c.started = true
		}
		out = append(out, msg...)
		if c.started {
			out = append(out, c.rest...)
			c.rest = nil
			break
		}
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// parameterStatus replaces the values that Redshift reports otherwise.
func parameterStatus(msg []byte) []byte {
	switch string(msg[5:]) {
	case "server_version\x00150000\x00":
		return message('S', "server_version\x008.0.2\x00")
	case "client_encoding\x00UTF8\x00":
		return message('S', "client_encoding\x00UNICODE\x00")
	case "server_encoding\x00UTF8\x00":
		return message('S', "server_encoding\x00UNICODE\x00")
	}
	return msg
}

// message frames body as a message of type t.
func message(t byte, body string) []byte {
	out := binary.BigEndian.AppendUint32([]byte{t}, uint32(4+len(body)))
	return append(out, body...)
}
