//go:build cgo

package redshift

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// The classes of objects that privileges and comments are on, by the oid of their catalogue.
const (
	classRelation = 1259
	classSchema   = 2615
	classDatabase = 1262
)

// privilegesOf are the privileges of a class; ALL means all of them.
func privilegesOf(class int) []string {
	switch class {
	case classRelation:
		return []string{"SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES", "DROP", "TRUNCATE", "ALTER"}
	case classSchema:
		return []string{"USAGE", "CREATE", "ALTER", "DROP"}
	default:
		return []string{"CREATE", "TEMPORARY", "USAGE", "ALTER"}
	}
}

// grantee is who gets a privilege: a user, group or role, or everyone.
type grantee struct {
	name, kind string
	option     bool
}

// grant is GRANT or REVOKE, read.
type grant struct {
	privileges []string // empty means ALL
	class      int
	objects    []tableName // schemas and databases in schema
	inSchemas  bool        // all tables in objects
	grantees   []grantee
}

// readGrant reads [GRANT OPTION FOR] privileges ON objects TO|FROM grantees. Functions, languages, models and roles
// are accepted without effect: found is false.
func readGrant(nodes []node) (g grant, found bool, err error) {
	if len(nodes) > 3 && nodes[1].is("grant") && nodes[2].is("option") {
		nodes = nodes[3:] // FOR stands where GRANT would
	}
	on := find(nodes, 1, "on")
	to := find(nodes, on, "to", "from")
	if to == len(nodes) {
		if find(nodes, 1, "to", "from") < len(nodes) {
			return g, false, nil // of a role
		}
		return g, false, syntaxError("syntax error in " + strings.ToUpper(nodes[0].val))
	}
	for _, part := range splitNodes(nodes[1:on]) {
		word := strings.ToUpper(render(part[:min(len(part), 1)]))
		switch word {
		case "ALL":
			continue
		case "TEMP":
			word = "TEMPORARY"
		}
		g.privileges = append(g.privileges, word)
	}
	rest := nodes[on+1 : to]
	g.class = classRelation
	switch {
	case len(rest) > 3 && rest[0].is("all") && rest[1].is("tables") && rest[2].is("in"):
		g.inSchemas, rest = true, rest[4:]
	case len(rest) > 1 && rest[0].is("table"):
		rest = rest[1:]
	case len(rest) > 1 && rest[0].is("schema"):
		g.class, rest = classSchema, rest[1:]
	case len(rest) > 1 && rest[0].is("database"):
		g.class, rest = classDatabase, rest[1:]
	case len(rest) > 1 && (rest[0].is("function", "procedure", "language", "model", "external", "all", "datashare") && rest[1].name()):
		return g, false, nil
	}
	for _, part := range splitNodes(rest) {
		name, _, err := tableAt(part, 0)
		if err != nil {
			return g, false, err
		}
		if g.class != classRelation || g.inSchemas {
			name = tableName{schema: name.table}
		}
		g.objects = append(g.objects, name)
	}
	g.grantees, err = readGrantees(nodes[to+1:])
	return g, true, err
}

func readGrantees(nodes []node) ([]grantee, error) {
	option := false
	if n := len(nodes); n > 3 && nodes[n-3].is("with") && nodes[n-2].is("grant") {
		option, nodes = true, nodes[:n-3]
	}
	if n := len(nodes); n > 1 && nodes[n-1].is("cascade", "restrict") {
		nodes = nodes[:n-1]
	}
	var out []grantee
	for _, part := range splitNodes(nodes) {
		g := grantee{kind: "user", option: option}
		if len(part) == 2 && part[0].is("group", "role") {
			g.kind, part = part[0].val, part[1:]
		}
		if len(part) != 1 || !part[0].name() {
			return nil, syntaxError("syntax error in the list of users, groups and roles")
		}
		if g.name = part[0].val; part[0].is("public") {
			g.kind = "public"
		}
		out = append(out, g)
	}
	return out, nil
}

// grantStatement runs GRANT and REVOKE: recorded, shown, not enforced.
func (s *session) grantStatement(ctx context.Context, st statement, nodes []node) (*result, error) {
	g, found, err := readGrant(nodes)
	if err != nil || !found {
		return &result{tag: st.tag}, err
	}
	privileges := privilegesOf(g.class)
	for _, p := range g.privileges {
		if !slices.Contains(privileges, p) && p != "RULE" && p != "TRIGGER" {
			return nil, pgError("42601", "syntax error at or near %q", strings.ToLower(p))
		}
	}
	if len(g.privileges) > 0 {
		privileges = g.privileges
	}
	if err := s.srv.locks.acquire(ctx, s.pid, "privileges of everyone", lockWrite); err != nil {
		return nil, err
	}
	oids, err := s.granted(ctx, g)
	if err != nil {
		return nil, err
	}
	for _, oid := range oids {
		for _, who := range g.grantees {
			if err := s.recordGrant(ctx, nodes[0].is("grant"), oid, g.class, privileges, who); err != nil {
				return nil, err
			}
		}
	}
	return &result{tag: st.tag}, nil
}

func (s *session) recordGrant(ctx context.Context, give bool, oid string, class int, privileges []string, who grantee) error {
	for _, p := range privileges {
		if _, err := s.exec(ctx, fmt.Sprintf("DELETE FROM _rs.grants WHERE object = %s AND class = %d AND privilege = %s AND grantee = %s AND kind = %s",
			oid, class, quoteString(p), quoteString(who.name), quoteString(who.kind))); err != nil {
			return err
		}
		if !give {
			continue
		}
		if _, err := s.exec(ctx, fmt.Sprintf("INSERT INTO _rs.grants VALUES (%s, %d, %s, %s, %s, %t)",
			oid, class, quoteString(p), quoteString(who.name), quoteString(who.kind), who.option)); err != nil {
			return err
		}
	}
	return nil
}

// granted finds the oids of what a grant is on.
func (s *session) granted(ctx context.Context, g grant) ([]string, error) {
	var oids []string
	for _, name := range g.objects {
		if g.class == classRelation && !g.inSchemas {
			oid, err := s.relationOID(ctx, name)
			if err != nil {
				return nil, err
			}
			oids = append(oids, oid)
			continue
		}
		if err := s.touch(ctx); err != nil {
			return nil, err
		}
		if g.class == classDatabase {
			if name.schema != s.srv.cfg.Database {
				return nil, pgError("3D000", "database %q does not exist", name.schema)
			}
			oids = append(oids, "16384")
			continue
		}
		query := "SELECT CAST(oid AS VARCHAR) FROM _rs.schemas WHERE name = " + quoteString(name.schema)
		found, err := s.strings(ctx, query)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, pgError("3F000", "schema %q does not exist", name.schema)
		}
		if g.inSchemas {
			if found, err = s.strings(ctx, "SELECT CAST(oid AS VARCHAR) FROM _rs.tables WHERE schema_name = "+quoteString(name.schema)); err != nil {
				return nil, err
			}
		}
		oids = append(oids, found...)
	}
	return oids, nil
}

// relationOID locks a table or view against those who would drop it, and finds its oid.
func (s *session) relationOID(ctx context.Context, name tableName) (string, error) {
	if err := s.lock(ctx, name, lockShare); err != nil {
		return "", err
	}
	if err := s.touch(ctx); err != nil {
		return "", err
	}
	t, err := s.table(ctx, name)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(t.oid), nil
}

// commentStatement runs COMMENT ON TABLE|VIEW|COLUMN|SCHEMA|DATABASE … IS 'text'|NULL.
func (s *session) commentStatement(ctx context.Context, st statement, nodes []node) (*result, error) {
	is := find(nodes, 3, "is")
	if is+1 >= len(nodes) || nodes[is+1].kind != tokString && !nodes[is+1].is("null") {
		return nil, syntaxError("syntax error in COMMENT")
	}
	parts, _ := nameAt(nodes, 3)
	if len(parts) == 0 {
		return nil, syntaxError("syntax error in COMMENT")
	}
	class, sub, oid := classRelation, 0, "16384"
	var err error
	switch {
	case nodes[2].is("table", "view"):
		var name tableName
		if name, _, err = tableAt(nodes, 3); err == nil {
			oid, err = s.relationOID(ctx, name)
		}
	case nodes[2].is("column"):
		oid, sub, err = s.columnOID(ctx, parts)
	case nodes[2].is("schema"):
		class = classSchema
		var found []string
		if found, err = s.granted(ctx, grant{class: classSchema, objects: []tableName{{schema: parts[0]}}}); err == nil {
			oid = found[0]
		}
	case nodes[2].is("database"):
		class, err = classDatabase, s.touch(ctx)
	default:
		return &result{tag: st.tag}, nil // of constraints, functions and such
	}
	if err != nil {
		return nil, err
	}
	if err := s.srv.locks.acquire(ctx, s.pid, "comments of everyone", lockWrite); err != nil {
		return nil, err
	}
	if _, err := s.exec(ctx, fmt.Sprintf("DELETE FROM _rs.comments WHERE object = %s AND class = %d AND sub = %d", oid, class, sub)); err != nil {
		return nil, err
	}
	if text := nodes[is+1]; text.kind == tokString && text.val != "" {
		_, err = s.exec(ctx, fmt.Sprintf("INSERT INTO _rs.comments VALUES (%s, %d, %d, %s)", oid, class, sub, quoteString(text.val)))
	}
	return &result{tag: st.tag}, err
}

// columnOID finds the table and the ordinal of [schema.]table.column.
func (s *session) columnOID(ctx context.Context, parts []string) (oid string, ordinal int, err error) {
	if len(parts) < 2 {
		return "", 0, syntaxError("a column's name needs its table's before it")
	}
	name := tableName{table: parts[len(parts)-2]}
	if len(parts) > 2 {
		name.schema = parts[len(parts)-3]
	}
	if oid, err = s.relationOID(ctx, name); err != nil {
		return "", 0, err
	}
	column := parts[len(parts)-1]
	found, err := s.strings(ctx, "SELECT CAST(ordinal AS VARCHAR) FROM _rs.columns WHERE table_oid = "+oid+" AND name = "+quoteString(column))
	if err == nil && len(found) == 0 {
		err = pgError("42703", "column %q of relation %q does not exist", column, name.table)
	}
	if err != nil {
		return "", 0, err
	}
	_, err = fmt.Sscan(found[0], &ordinal)
	return oid, ordinal, err
}
