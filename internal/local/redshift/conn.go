//go:build cgo

package redshift

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
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
	conn := &clientConn{Conn: c, status: map[string]string{"server_version": "8.0.2", "server_encoding": "UNICODE", "client_encoding": "UNICODE"}}
	_ = c.SetReadDeadline(time.Now().Add(loginTimeout))
	l.track(conn)
	return conn, nil
}

// loginTimeout is how long a client may take from its first byte to its password, as in PostgreSQL.
const loginTimeout = time.Minute

// The codes that stand in a start-up packet where others have the protocol's version.
const (
	sslRequest = 80877103
	gssRequest = 80877104
)

// clientConn mends what psql-wire has no option for: it says that the server is an 8.0.2, refuses encryption in a way
// that a cancel request survives, and adds type modifiers to row descriptions and positions to errors.
type clientConn struct {
	net.Conn
	head    []byte            // read of the start-up packet and not yet handed on; nil until it has come
	status  map[string]string // parameters that clients are told of, where psql-wire has other values
	started bool              // the first ReadyForQuery has passed

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

// Read implements net.Conn. It answers requests for encryption itself: psql-wire takes no cancel request behind one.
func (c *clientConn) Read(p []byte) (int, error) {
	for c.head == nil {
		head := make([]byte, 8)
		if _, err := io.ReadFull(c.Conn, head); err != nil {
			return 0, err
		}
		switch binary.BigEndian.Uint32(head[4:]) {
		case sslRequest, gssRequest:
			if _, err := c.Conn.Write([]byte{'N'}); err != nil {
				return 0, err
			}
		default:
			c.head = head
		}
	}
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// Write implements net.Conn. psql-wire writes whole messages, one at a time or a batch of rows.
func (c *clientConn) Write(p []byte) (int, error) {
	out := p
	switch p[0] {
	case 'S':
		out = c.parameterStatus(p)
	case 'Z':
		if !c.started {
			c.started = true
			_ = c.SetReadDeadline(time.Time{})
		}
	case 'T':
		out = rowDescription(p)
	case 'E':
		out = errorResponse(p)
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// parameterStatus replaces the values that Redshift reports otherwise.
func (c *clientConn) parameterStatus(msg []byte) []byte {
	name, _, _ := strings.Cut(string(msg[5:]), "\x00")
	if value, found := c.status[name]; found {
		return message('S', name+"\x00"+value+"\x00")
	}
	return msg
}

// report tells the client of a parameter, or sees to it that the login does.
func (c *clientConn) report(name, value string) {
	c.status[name] = value
	if c.started {
		_, _ = c.Conn.Write(message('S', name+"\x00"+value+"\x00"))
	}
}

// rowDescription moves each column's type modifier to its place: psql-wire writes -1 there, so wireColumns passes it as
// the table's object id, which nobody misses.
func rowDescription(msg []byte) []byte {
	out := append([]byte(nil), msg...)
	for i := 7; i < len(out); i += 18 { // behind each name
		for out[i] != 0 {
			i++
		}
		i++
		copy(out[i+12:i+16], out[i:i+4])
		clear(out[i : i+4])
	}
	return out
}

// positionMark leads a hint that begins with the error's position in the statement, which psql-wire has no field for.
const positionMark = "\x01"

// positioned puts position at into hint for errorResponse to take out.
func positioned(hint string, at int) string {
	if at <= 0 {
		return hint
	}
	return fmt.Sprintf("%s%d%s%s", positionMark, at, positionMark, hint)
}

// errorResponse gives the position its own field.
func errorResponse(msg []byte) []byte {
	before, rest, found := strings.Cut(string(msg[5:]), "\x00H"+positionMark)
	if !found {
		return msg
	}
	at, rest, _ := strings.Cut(rest, positionMark)
	if hint, tail, _ := strings.Cut(rest, "\x00"); hint == "" {
		rest = tail
	} else {
		rest = "H" + rest
	}
	return message('E', before+"\x00P"+at+"\x00"+rest)
}

// message frames body as a message of type t.
func message(t byte, body string) []byte {
	out := binary.BigEndian.AppendUint32([]byte{t}, uint32(4+len(body)))
	return append(out, body...)
}
