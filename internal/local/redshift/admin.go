//go:build cgo

package redshift

import (
	"strconv"
)

// adminCall recognises SELECT pg_terminate_backend(pid) and pg_cancel_backend(pid), which act and therefore must not
// be run by who only describes a query.
func adminCall(nodes []node) (name string, args []node, found bool) {
	if len(nodes) > 2 && nodes[1].is("pg_catalog") && nodes[2].op(".") {
		nodes = append([]node{nodes[0]}, nodes[3:]...)
	}
	if len(nodes) == 3 && nodes[0].is("select") && nodes[1].is("pg_terminate_backend", "pg_cancel_backend") && nodes[2].open == '(' {
		return nodes[1].val, nodes[2].kids, true
	}
	return "", nil, false
}

func adminColumns(name string) []column {
	return []column{{name: name, typ: fromDuck("INTEGER")}}
}

// administer interrupts or ends another session; the answer is 1 if it was there, else 0.
func (s *session) administer(name string, args []node) (*result, error) {
	pid := -1
	if len(args) == 1 && args[0].kind == tokNumber {
		pid, _ = strconv.Atoi(args[0].val)
	}
	if pid < 0 {
		return nil, unsupported(name + " of anything but a number")
	}
	s.srv.mu.Lock()
	other := s.srv.sessions[int32(pid)]
	s.srv.mu.Unlock()
	done := int64(0)
	if other != nil {
		done = 1
		other.interrupt(errCancelled())
		if name == "pg_terminate_backend" {
			_ = other.conn.Close()
		}
	}
	return &result{cols: adminColumns(name), data: [][]any{{done}}, tag: "SELECT"}, nil
}

// cancelStatement runs Redshift's CANCEL pid ['message'].
func (s *session) cancelStatement(st statement, nodes []node) (*result, error) {
	if len(nodes) < 2 {
		return nil, syntaxError("syntax error at end of input")
	}
	_, err := s.administer("pg_cancel_backend", nodes[1:2])
	return &result{tag: st.tag}, err
}
