package care

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/objstore"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// forgotten is how old a side table must be to count as forgotten, by the end
// of its name, after which "_" and a ULID may follow: longer than any build that
// still runs.
var forgotten = map[string]time.Duration{
	"__old": 24 * time.Hour, "__new": 24 * time.Hour, "__refresh": 24 * time.Hour, "__refresh_2": 24 * time.Hour, "__reload": 72 * time.Hour,
}

// workAge is the same for tables of the work schema.
const workAge = 24 * time.Hour

// facts reads what Decide goes by. A catalogue that may not be read leaves the
// tables out: the ledger is trimmed all the same.
func (k *Keeper) facts(ctx context.Context, conn *warehouse.Conn, open time.Duration) (Facts, error) {
	f := Facts{Window: open, CompressionEvery: k.cfg.CompressionEvery, Auto: k.w.Config().Keys == warehouse.KeysAuto}
	var err error
	if f.Past, err = past(ctx, conn); err != nil {
		return f, err
	}
	targets, err := conn.Targets(ctx)
	if err != nil {
		return f, err
	}
	names, latest := tableNames(targets)
	if f.Forgotten, err = k.forgotten(ctx, conn, names); err != nil {
		return f, err
	}
	infos, err := conn.TableInfos(ctx, schemasOf(names))
	if warehouse.IsCode(err, "42501") {
		k.log.Warn("tables are not looked after: GRANT SELECT ON svv_table_info to the loader's user, or see to them yourself", "err", err)
		return f, nil
	}
	if err != nil {
		return f, err
	}
	changed, err := conn.ChangedSinceAnalyze(ctx, string(Analyze))
	if err != nil {
		return f, err
	}
	held, err := conn.Held(ctx)
	if err != nil {
		return f, err
	}
	cluster, err := conn.Cluster(ctx)
	if err != nil && warehouse.Classify(err) == warehouse.ClassUnknown {
		return f, err // else Serverless, or a user without the right: sizes stay unknown
	}
	for _, n := range names {
		info, ok := infos[n]
		if !ok {
			continue
		}
		t := Table{TableInfo: info, DataMB: -1, Changed: changed[n.String()], Held: isHeld(held, n.String())}
		if err := k.distribution(ctx, conn, &t, cluster, slices.Contains(latest, n)); err != nil {
			return f, err
		}
		f.Tables = append(f.Tables, t)
	}
	return f, nil
}

func isHeld(held []warehouse.Held, target string) bool {
	return slices.ContainsFunc(held, func(h warehouse.Held) bool { return h.Target == target && h.FileKey == warehouse.WholeTarget })
}

// past sums up millstream.maintenance.
func past(ctx context.Context, conn *warehouse.Conn) (map[string]map[Act]Past, error) {
	notes, err := conn.LastMaintained(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]map[Act]Past{}
	for _, n := range notes {
		if out[n.Target] == nil {
			out[n.Target] = map[Act]Past{}
		}
		p, ok := out[n.Target][Act(n.Act)]
		if !ok {
			p = Past{Tried: n.Age, Done: -1}
		}
		if n.Error == "" {
			p.Done = n.Age
		}
		p.Tried = min(p.Tried, n.Age)
		out[n.Target][Act(n.Act)] = p
	}
	return out, nil
}

// tableNames are the tables of targets, those of latest state among them, and
// the ledger's own that grow.
func tableNames(targets []string) (all, latest []warehouse.Name) {
	for _, t := range []string{"loads", "duplicates"} {
		all = append(all, warehouse.Name{Schema: warehouse.Schema, Table: t})
	}
	for _, t := range targets {
		n, err := warehouse.ParseName(t)
		if err != nil {
			continue // a row that somebody else wrote
		}
		all = append(all, n)
		if l, _, ok := warehouse.LatestOf(n); ok {
			latest = append(latest, l)
		}
	}
	return append(all, latest...), latest
}

func schemasOf(names []warehouse.Name) []string {
	var out []string
	for _, n := range names {
		if !slices.Contains(out, n.Schema) {
			out = append(out, n.Schema)
		}
	}
	return out
}

// distribution fills in how a table of a kind that may be on all nodes is
// spread when it is not, and how much it holds.
func (k *Keeper) distribution(ctx context.Context, conn *warehouse.Conn, t *Table, cluster warehouse.Cluster, latest bool) error {
	switch {
	case k.w.Config().Tables[t.Name.String()].DistKey != "": // the configuration's
	case latest:
		t.Small, t.DistKey = true, "id"
	default:
		s, err := k.lake.LatestSchema(ctx, t.Name.String())
		if err != nil && !errors.Is(err, objstore.ErrNotFound) {
			return err
		}
		t.Small = err == nil && s.Kind == lake.SchemaMirror
		if len(s.Key) == 1 {
			t.DistKey = s.Key[0]
		}
	}
	if !t.Small || cluster.Slices == 0 {
		return nil
	}
	columns, err := conn.StoredColumns(ctx, t.Name)
	if err != nil {
		return err
	}
	t.DataMB = t.TableInfo.DataMB(len(columns), cluster)
	return nil
}

// forgotten are the side tables that nobody will come back to: those of a
// target, old enough, and not of a poll that goes on.
func (k *Keeper) forgotten(ctx context.Context, conn *warehouse.Conn, names []warehouse.Name) ([]warehouse.Name, error) {
	models, err := conn.Models(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range models {
		if n, err := warehouse.ParseName(m); err == nil {
			names = append(names, n)
		}
	}
	left, err := conn.Leftovers(ctx, schemasOf(names))
	if err != nil {
		return nil, err
	}
	used, err := conn.PollWork(ctx)
	if err != nil {
		return nil, err
	}
	return forgottenOf(left, names, used), nil
}

// forgottenOf sorts out those of left that stand beside one of names, which the
// ledger has; used are tables that polls still work with.
func forgottenOf(left []warehouse.Leftover, names []warehouse.Name, used []string) []warehouse.Name {
	var out []warehouse.Name
	for _, l := range left {
		age, side := workAge, l.Name.Schema == warehouse.WorkSchema
		if !side {
			age, side = sideAge(l.Name, names)
		}
		if side && l.Age >= age && !slices.Contains(used, l.Name.String()) {
			out = append(out, l.Name)
		}
	}
	return out
}

// sideAge returns how old a table that stands beside one of names must be.
func sideAge(side warehouse.Name, names []warehouse.Name) (age time.Duration, ok bool) {
	const ulid = 26
	id := side.Table[max(0, len(side.Table)-ulid):]
	for suffix, age := range forgotten {
		ends := []string{suffix}
		if strings.Trim(id, "0123456789abcdefghjkmnpqrstvwxyz") == "" {
			ends = append(ends, suffix+"_"+id)
		}
		for _, end := range ends {
			if strings.HasSuffix(side.Table, end) && slices.ContainsFunc(names, func(n warehouse.Name) bool { return n.Beside(end) == side }) {
				return age, true
			}
		}
	}
	return 0, false
}
