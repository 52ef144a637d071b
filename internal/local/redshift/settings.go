//go:build cgo

package redshift

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// defaultSettings are what SHOW answers until somebody SETs them.
func (s *session) defaultSetting(name string) (string, bool) {
	switch name {
	case "search_path":
		return `"$user", public`, true
	case "statement_timeout":
		return "0", true
	case "timezone":
		return "UTC", true
	case "server_version":
		return "8.0.2", true
	case "client_encoding", "server_encoding":
		return "UNICODE", true
	case "transaction_isolation", "transaction isolation level":
		return s.srv.cfg.Isolation, true
	case "datestyle":
		return "ISO, MDY", true
	case "query_group", "application_name", "wlm_query_slot_count", "enable_case_sensitive_identifier", "extra_float_digits", "client_min_messages",
		"autocommit", "json_serialization_enable", "enable_result_cache_for_session", "default_transaction_isolation", "session characteristics":
		return "", true
	}
	return "", false
}

// set runs SET [LOCAL|SESSION] name TO|= value, and the forms of it that take words.
func (s *session) set(ctx context.Context, st statement, nodes []node) (*result, error) {
	rest := nodes[1:]
	local := len(rest) > 0 && rest[0].is("local")
	if len(rest) > 0 && rest[0].is("local", "session") && (len(rest) <= 1 || !rest[1].is("characteristics", "authorization")) {
		rest = rest[1:]
	}
	if len(rest) > 0 && (rest[0].is("transaction") || rest[0].is("session")) {
		return &result{tag: st.tag}, nil // isolation is the database's; drivers send this all the same
	}
	if len(rest) > 2 && rest[0].is("time") && rest[1].is("zone") {
		rest = append([]node{{token: token{kind: tokWord, val: "timezone"}}, word("to")}, rest[2:]...)
	}
	if len(rest) < 3 || !rest[0].name() || !rest[1].is("to") && !rest[1].op("=") {
		return nil, syntaxError("syntax error in SET")
	}
	name := rest[0].val
	if name == "standard_conforming_strings" {
		return nil, pgError("42704", "unrecognized configuration parameter %q", name)
	}
	if _, known := s.defaultSetting(name); !known {
		return nil, pgError("42704", "unrecognized configuration parameter %q", name)
	}
	value := settingValue(rest[2:])
	if local && s.state == txBlock {
		if s.local == nil {
			s.local = map[string]string{}
		}
		if _, saved := s.local[name]; !saved {
			s.local[name] = s.settings[name]
		}
	}
	return &result{tag: st.tag}, s.apply(ctx, name, value)
}

func settingValue(nodes []node) string {
	var parts []string
	for _, n := range nodes {
		if !n.op(",") {
			parts = append(parts, n.val)
		}
	}
	return strings.Join(parts, ", ")
}

func (s *session) apply(ctx context.Context, name, value string) error {
	switch name {
	case "statement_timeout":
		if value == "default" {
			value = "0"
		}
		if _, err := strconv.Atoi(value); err != nil {
			return pgError("22023", "invalid value for parameter %q: %q", name, value)
		}
	case "timezone":
		if !strings.EqualFold(value, "utc") && !strings.EqualFold(value, "default") && !strings.EqualFold(value, "gmt") {
			return unsupported("a session time zone other than UTC")
		}
	case "search_path":
		path := searchPath(value)
		quoted := make([]string, len(path))
		for i, p := range path {
			quoted[i] = quoteIdent(p)
		}
		if _, err := s.duck.ExecContext(ctx, "SET search_path = "+quoteString(strings.Join(quoted, ","))); err != nil {
			return err
		}
		s.path = path
	}
	s.settings[name] = value
	return nil
}

func (s *session) reset(ctx context.Context, st statement, nodes []node) (*result, error) {
	if len(nodes) < 2 || !nodes[1].name() {
		return nil, syntaxError("syntax error in RESET")
	}
	if nodes[1].val == "all" {
		clear(s.settings)
		return &result{tag: st.tag}, s.apply(ctx, "search_path", "public")
	}
	if nodes[1].val == "search_path" {
		return &result{tag: st.tag}, s.apply(ctx, "search_path", "public")
	}
	delete(s.settings, nodes[1].val)
	return &result{tag: st.tag}, nil
}

func (s *session) show(nodes []node) (*result, error) {
	name := strings.ToLower(settingValue(nodes[1:]))
	name = strings.ReplaceAll(name, ", ", " ")
	value, set := s.settings[name]
	if !set {
		var known bool
		if value, known = s.defaultSetting(name); !known {
			return nil, pgError("42704", "unrecognized configuration parameter %q", name)
		}
	}
	text := colType{oid: oidVarchar, declared: "character varying(65535)", duck: "VARCHAR"}
	return &result{cols: []column{{name: strings.ReplaceAll(name, " ", "_"), typ: text}}, data: [][]any{{value}}, tag: "SHOW"}, nil
}

// isFaultCall recognises SELECT millstream_local.fault('…').
func isFaultCall(nodes []node) bool {
	return len(nodes) == 5 && nodes[0].is("select") && nodes[1].is("millstream_local") && nodes[3].is("fault") && nodes[4].open == '('
}

func faultColumns() []column {
	return []column{{name: "fault", typ: colType{oid: oidVarchar, declared: "character varying(256)", duck: "VARCHAR"}}}
}

// faultCall injects a fault from another process: a JSON object as Fault has it, or refuse or clear.
func (s *session) faultCall(nodes []node) (*result, bool, error) {
	if !isFaultCall(nodes) {
		return nil, false, nil
	}
	if !s.srv.cfg.Faults {
		return nil, true, unsupported("faults unless local.redshift.faults is on")
	}
	if len(nodes[4].kids) != 1 || nodes[4].kids[0].kind != tokString {
		return nil, true, syntaxError("millstream_local.fault takes one literal")
	}
	switch text := nodes[4].kids[0].val; text {
	case "clear":
		s.srv.faults.Clear()
	default:
		var f Fault
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			return nil, true, pgError("22023", "fault: %v", err)
		}
		s.srv.faults.Inject(f)
	}
	return &result{cols: faultColumns(), data: [][]any{{"ok"}}, tag: "SELECT"}, true, nil
}

// cursor is what DECLARE opens; it lives as long as its transaction.
type cursor struct{ res *result }

// preparedStatement runs PREPARE, EXECUTE and DEALLOCATE.
func (s *session) preparedStatement(ctx context.Context, st statement, nodes []node) (*result, error) {
	if len(nodes) < 2 {
		return nil, syntaxError("syntax error at end of input")
	}
	switch st.kind {
	case kindPrepare:
		at := 0
		for at < len(st.toks) && st.toks[at].val != "as" {
			at++
		}
		if at+1 >= len(st.toks) {
			return nil, syntaxError("syntax error in PREPARE")
		}
		s.prepared[nodes[1].val] = st.toks[at+1:]
		return &result{tag: st.tag}, nil
	case kindDeallocate:
		name := nodes[len(nodes)-1].val
		if name == "all" {
			clear(s.prepared)
		}
		delete(s.prepared, name)
		return &result{tag: st.tag}, nil
	default:
		inner, err := s.executed(nodes)
		if err != nil {
			return nil, err
		}
		return s.dispatch(ctx, inner, false)
	}
}

// executed is the statement that EXECUTE name(args) means.
func (s *session) executed(nodes []node) (statement, error) {
	if len(nodes) < 2 || s.prepared[nodes[1].val] == nil {
		return statement{}, pgError("26000", "prepared statement does not exist")
	}
	var args [][]node
	if len(nodes) > 2 {
		args = splitNodes(nodes[2].kids)
	}
	toks, err := substitute(s.prepared[nodes[1].val], func(i int) (string, error) {
		if i >= len(args) {
			return "", pgError("42601", "wrong number of parameters for prepared statement %q", nodes[1].val)
		}
		return newRewriter(s.env()).expr(args[i])
	})
	if err != nil {
		return statement{}, err
	}
	return classify(toks)
}

// cursorStatement runs DECLARE, FETCH and CLOSE.
func (s *session) cursorStatement(ctx context.Context, st statement, nodes []node) (*result, error) {
	switch st.kind {
	case kindDeclare:
		at := find(nodes, 0, "for")
		if s.state != txBlock {
			return nil, pgError("25P01", "DECLARE CURSOR may only be used in transaction blocks")
		}
		if len(nodes) < 2 || at+1 >= len(nodes) {
			return nil, syntaxError("syntax error in DECLARE")
		}
		res, err := s.selectRows(ctx, statement{tag: "SELECT"}, nodes[at+1:])
		if err != nil {
			return nil, err
		}
		res.stop = func() {}
		if err := res.buffer(maxBuffered); err != nil {
			return nil, err
		}
		s.cursors[nodes[1].val] = &cursor{res}
		return &result{tag: st.tag}, nil
	case kindClose:
		if len(nodes) > 1 {
			delete(s.cursors, nodes[1].val)
		}
		return &result{tag: st.tag}, nil
	default:
		c, n, err := s.fetched(nodes)
		if err != nil {
			return nil, err
		}
		rows, err := c.res.next(n)
		return &result{cols: c.res.cols, data: rows, tag: "FETCH"}, err
	}
}

// fetched reads FETCH [FORWARD] [ALL|NEXT|n] [FROM|IN] name.
func (s *session) fetched(nodes []node) (*cursor, int, error) {
	n := 1
	for _, w := range nodes[1:] {
		if w.is("all") {
			n = 1 << 30
		}
		if w.kind == tokNumber {
			n, _ = strconv.Atoi(w.val)
		}
	}
	c := s.cursors[nodes[len(nodes)-1].val]
	if c == nil {
		return nil, 0, pgError("34000", "cursor %q does not exist", nodes[len(nodes)-1].val)
	}
	return c, n, nil
}

// stamp is now in the form of the registry's timestamps.
func stamp() string { return quoteString(time.Now().UTC().Format("2006-01-02 15:04:05.000000")) }
