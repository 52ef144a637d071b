package warehouse

import (
	"context"
	"fmt"
	"slices"
)

// granted are the privileges on a table that Redshift knows; others, such as
// those of a newer one, are left out rather than written into SQL.
var granted = []string{"SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES", "DROP", "TRUNCATE", "ALTER", "TRIGGER", "RULE"}

// Grants returns the statements that give a table or view called n what others
// may do with the present one. They are for the one that takes its place in the
// same transaction: privileges belong to a table and not to its name.
func (c *Conn) Grants(ctx context.Context, n Name) ([]string, error) {
	res, err := c.Exec(ctx, fmt.Sprintf("SELECT privilege_type, identity_name, identity_type FROM svv_relation_privileges"+
		" WHERE namespace_name = %s AND relation_name = %s AND identity_name <> CURRENT_USER ORDER BY 3, 2, 1", Literal(n.Schema), Literal(n.Table)))
	if err != nil {
		return nil, fmt.Errorf("grants of %s: %w", n, err)
	}
	var out []string
	for _, row := range res.Rows {
		if to := holder(row[1], row[2]); to != "" && slices.Contains(granted, row[0]) {
			out = append(out, fmt.Sprintf("GRANT %s ON %s TO %s", row[0], n.SQL(), to))
		}
	}
	return out, nil
}

// holder writes one to whom something was granted; nothing for a kind that is
// not known.
func holder(name, kind string) string {
	switch kind {
	case "public":
		return "PUBLIC"
	case "group":
		return "GROUP " + Ident(name)
	case "role":
		return "ROLE " + Ident(name)
	case "user":
		return Ident(name)
	}
	return ""
}
