//go:build cgo

package redshift

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings are a session's parameters.
type settings struct {
	values map[string]string  // what was SET
	zone   *time.Location     // of the parameter timezone
	digits int                // extra_float_digits
	undo   map[string]*string // values before the transaction, nil for a default; ROLLBACK goes back to them
	local  map[string]*string // values before SET LOCAL; either end goes back to them
}

func newSettings() settings {
	return settings{values: map[string]string{}, zone: time.UTC, undo: map[string]*string{}, local: map[string]*string{}}
}

// parameters are Redshift's with their defaults; isolation and timezone are told apart in show.
var parameters = map[string]string{
	"analyze_threshold_percent": "10", "application_name": "", "autocommit": "on", "cast_super_null_on_error": "on", "client_encoding": "UNICODE",
	"client_min_messages": "notice", "datestyle": "ISO, MDY", "default_transaction_isolation": "", "default_transaction_read_only": "off",
	"describe_field_name_in_uppercase": "off", "downcase_delimited_identifier": "on", "enable_case_sensitive_identifier": "off",
	"enable_case_sensitive_super_attribute": "off", "enable_numeric_rounding": "on", "enable_result_cache_for_session": "on", "extra_float_digits": "0",
	"json_serialization_enable": "off", "json_serialization_parse_nested_strings": "off", "max_cursor_result_set_size": "0",
	"mv_enable_aqmv_for_session": "on", "navigate_super_null_on_error": "on", "parse_super_null_on_error": "off", "query_group": "unset", "readonly": "0",
	"search_path": `"$user", public`, "server_encoding": "UNICODE", "server_version": "8.0.2", "session_authorization": "", "statement_timeout": "0",
	"timezone": "UTC", "transaction_isolation": "", "wlm_query_slot_count": "1",
}

// settled are the parameters that are the server's and not the session's.
var settled = []string{"server_encoding", "server_version", "session_authorization", "transaction_isolation"}

// driverParameters are what Amazon's drivers tell of themselves when they connect.
var driverParameters = []string{
	"client_protocol_version", "connection_create_time", "driver_discovery_version", "driver_os_version", "driver_version", "idp_type", "is_read_only", "os_version", "plugin_name",
	"provider_name", "redshift_client_id", "token", "token_type",
}

func errNoParameter(name string) *sqlError {
	return pgError("42704", "unrecognized configuration parameter %q", name)
}

// parameter returns what SHOW name answers.
func (s *session) parameter(name string) (string, bool) {
	switch name {
	case "time zone":
		name = "timezone"
	case "transaction isolation level", "transaction_isolation", "default_transaction_isolation":
		return s.srv.cfg.Isolation, true
	case "session_authorization":
		return s.srv.cfg.User, true
	}
	if value, set := s.settings.values[name]; set {
		return value, true
	}
	value, known := parameters[name]
	return value, known
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
		rest = append([]node{word("timezone"), word("to")}, rest[2:]...)
	}
	if len(rest) < 3 || !rest[0].name() || !rest[1].is("to") && !rest[1].op("=") {
		return nil, syntaxError("syntax error in SET")
	}
	name := rest[0].val
	value := strings.Join(settingWords(rest[2:]), ", ")
	if len(rest) == 3 && rest[2].is("default") {
		return &result{tag: st.tag}, s.assign(ctx, name, nil, local)
	}
	return &result{tag: st.tag}, s.assign(ctx, name, &value, local)
}

// settingWords are the values behind SET name TO, or the words behind SHOW.
func settingWords(nodes []node) []string {
	var words []string
	sign := ""
	for _, n := range nodes {
		switch {
		case n.op(","):
		case n.op("-"):
			sign = "-"
		default:
			words = append(words, sign+n.val)
			sign = ""
		}
	}
	return words
}

// assign gives name a value, nil for its default, and notes the old one for the end of the transaction.
func (s *session) assign(ctx context.Context, name string, value *string, local bool) error {
	if _, known := parameters[name]; !known {
		return errNoParameter(name)
	}
	if slices.Contains(settled, name) {
		return pgError("55P02", "parameter %q cannot be changed", name)
	}
	var before *string
	if v, set := s.settings.values[name]; set {
		before = &v
	}
	if err := s.apply(ctx, name, value); err != nil {
		return err
	}
	notes := s.settings.undo
	if local {
		notes = s.settings.local
	}
	if _, noted := notes[name]; !noted {
		notes[name] = before
	}
	return nil
}

// apply puts a value into effect.
func (s *session) apply(ctx context.Context, name string, value *string) error {
	v := parameters[name]
	if value != nil {
		v = *value
	}
	invalid := pgError("22023", "invalid value for parameter %q: %q", name, v)
	switch name {
	case "statement_timeout", "wlm_query_slot_count", "extra_float_digits":
		n, err := strconv.Atoi(v)
		if err != nil {
			return invalid
		}
		if name == "extra_float_digits" {
			s.settings.digits = max(-15, min(n, 3))
		}
	case "timezone":
		zone, err := timeZone(v)
		if err != nil {
			return invalid
		}
		if _, err := s.duck.ExecContext(ctx, "SET TimeZone = "+quoteString(zone.String())); err != nil {
			return err
		}
		s.settings.zone, v = zone, zone.String()
	case "client_encoding":
		if name := strings.ToUpper(strings.ReplaceAll(v, "-", "")); name != "UTF8" && name != "UNICODE" {
			return invalid
		}
	case "datestyle":
		if !strings.HasPrefix(strings.ToUpper(v), "ISO") {
			return unsupported("a date style other than ISO")
		}
		v = parameters[name]
	case "search_path":
		if err := s.searchPath(ctx, v); err != nil {
			return err
		}
	}
	if value == nil {
		delete(s.settings.values, name)
	} else {
		s.settings.values[name] = v
	}
	if reported, found := reportedParameters[name]; found {
		s.conn.report(reported, v)
	}
	return nil
}

// reportedParameters are those of whose changes clients are told, with the names that they look for.
var reportedParameters = map[string]string{"client_encoding": "client_encoding", "datestyle": "DateStyle", "timezone": "TimeZone"}

// timeZone finds a zone by its IANA name.
func timeZone(name string) (*time.Location, error) {
	switch strings.ToUpper(name) {
	case "UTC", "GMT", "Z", "ZULU":
		return time.UTC, nil
	case "", "LOCAL":
		return nil, errors.New("no such zone")
	}
	return time.LoadLocation(name)
}

// wallClock is what a clock in zone shows at t, as a UTC time: how TIMESTAMP keeps it.
func wallClock(t time.Time, zone *time.Location) time.Time {
	t = t.In(zone)
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// restoreSettings ends what SET LOCAL has set and, after a rollback, SET.
func (s *session) restoreSettings(committed bool) error {
	var errs []error
	for _, notes := range []map[string]*string{s.settings.local, s.settings.undo} {
		for name, value := range notes {
			errs = append(errs, s.apply(context.Background(), name, value))
		}
		clear(notes)
		if committed {
			break
		}
	}
	clear(s.settings.undo)
	return errors.Join(errs...)
}

func (s *session) searchPath(ctx context.Context, value string) error {
	path := searchPath(value)
	quoted := make([]string, len(path))
	for i, p := range path {
		quoted[i] = quoteIdent(p)
	}
	// DuckDB refuses a path with a schema that is not there; on Redshift it may come later.
	known, err := s.strings(ctx, "SELECT name FROM _rs.schemas")
	if err != nil {
		return err
	}
	quoted = slices.DeleteFunc(quoted, func(q string) bool {
		return !slices.ContainsFunc(known, func(k string) bool { return quoteIdent(k) == q })
	})
	s.pathPending = len(quoted) < len(path)
	if len(quoted) == 0 {
		quoted = []string{"main"} // holds nothing
	}
	if _, err := s.duck.ExecContext(ctx, "SET search_path = "+quoteString(strings.Join(quoted, ","))); err != nil {
		return err
	}
	s.path = path
	return nil
}

// searchPath reads the value of SET search_path.
func searchPath(value string) []string {
	var out []string
	for part := range strings.SplitSeq(value, ",") {
		part = strings.ToLower(strings.Trim(strings.TrimSpace(part), `"'`))
		if part != "" && part != "$user" && part != "pg_catalog" {
			out = append(out, part)
		}
	}
	if len(out) == 0 {
		out = []string{"public"}
	}
	return out
}

func (s *session) reset(ctx context.Context, st statement, nodes []node) (*result, error) {
	if len(nodes) < 2 || !nodes[1].name() {
		return nil, syntaxError("syntax error in RESET")
	}
	names := []string{nodes[1].val}
	if nodes[1].is("all") {
		names = slices.Sorted(maps.Keys(s.settings.values))
	}
	for _, name := range names {
		if err := s.assign(ctx, name, nil, false); err != nil {
			return nil, err
		}
	}
	return &result{tag: st.tag}, nil
}

func (s *session) show(nodes []node) (*result, error) {
	name := strings.ToLower(strings.Join(settingWords(nodes[1:]), " "))
	if name == "all" {
		res := &result{cols: []column{textColumn("name"), textColumn("setting")}, tag: "SHOW"}
		for _, name := range slices.Sorted(maps.Keys(parameters)) {
			value, _ := s.parameter(name)
			res.data = append(res.data, []any{name, value})
		}
		return res, nil
	}
	value, known := s.parameter(name)
	if !known {
		return nil, errNoParameter(name)
	}
	return &result{cols: []column{textColumn(strings.ReplaceAll(name, " ", "_"))}, data: [][]any{{value}}, tag: "SHOW"}, nil
}

// textColumn is a column of what the front itself answers.
func textColumn(name string) column {
	return column{name: name, typ: colType{oid: oidVarchar, declared: "character varying(65535)", duck: "VARCHAR", typmod: -1}}
}

// startUp applies the parameters of a start-up packet.
func (s *session) startUp(ctx context.Context, params map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		value := params[name]
		name := strings.ToLower(name)
		switch {
		case name == "user", name == "database", name == "replication", slices.Contains(driverParameters, name):
		case name == "options":
			if err := s.options(ctx, value); err != nil {
				return err
			}
		default:
			if err := s.assign(ctx, name, &value, false); err != nil {
				return err
			}
		}
	}
	return s.restoreSettings(true)
}

// options reads what PGOPTIONS carries: -c name=value, and --name=value.
func (s *session) options(ctx context.Context, text string) error {
	text = strings.ReplaceAll(text, "-c ", "-c")
	for word := range strings.FieldsSeq(text) {
		word = strings.TrimPrefix(strings.TrimPrefix(word, "--"), "-c")
		name, value, found := strings.Cut(word, "=")
		if !found {
			return pgError("42601", "invalid option %q in the start-up packet", word)
		}
		if err := s.assign(ctx, strings.ToLower(strings.ReplaceAll(name, "-", "_")), &value, false); err != nil {
			return err
		}
	}
	return nil
}
