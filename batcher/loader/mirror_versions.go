package loader

import (
	"context"
	"maps"
	"slices"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

// readVersions reads all versions of the lake's schema, if a column may have
// been renamed: some table or file has one that the newest version lacks.
func (p *mirrorPlan) readVersions(ctx context.Context) error {
	newest := p.groups[len(p.groups)-1][0].schema
	odd := slices.ContainsFunc(p.groups, func(files []dueFile) bool {
		return slices.ContainsFunc(files[0].schema.Columns, func(c wire.Column) bool { return newest.Columns.Index(c.Name) < 0 })
	})
	for name, has := range p.existing {
		if name.Schema != p.w.name.Schema || !p.w.mirror.owns(p.w.name, name) {
			continue
		}
		for column := range has {
			odd = odd || newest.Columns.Index(column) < 0
		}
	}
	if !odd {
		return nil
	}
	all, err := p.l.lake.Schemas(ctx, p.w.target())
	if err != nil {
		return &storeError{err}
	}
	slices.Reverse(all)
	p.versions = slices.DeleteFunc(all, func(s lake.Schema) bool { return s.Version > newest.Version })
	return nil
}

// owns says that name is the mirror or a table that is to take its place.
func (m *mirror) owns(target, name warehouse.Name) bool {
	return name == target || slices.ContainsFunc(m.before, func(p warehouse.Poll) bool { return p.Work == name.String() })
}

// renamesSince returns the newest names of columns by those of a version.
func (p *mirrorPlan) renamesSince(version int) map[string]string {
	out := map[string]string{}
	for _, v := range p.versions {
		if v.Version <= version {
			continue
		}
		for from, to := range v.Renamed {
			origin := from
			for was, now := range out {
				if now == from {
					origin = was
				}
			}
			out[origin] = to
		}
	}
	return out
}

// rename returns what a table has once its columns are renamed to what the
// versions say, and the renaming to do.
func (p *mirrorPlan) rename(name warehouse.Name, columns []warehouse.Column) (warehouse.Existing, [][2]string) {
	has := p.existing[name]
	if has == nil {
		return nil, nil
	}
	has = maps.Clone(has)
	var pairs [][2]string
	for _, v := range p.versions {
		for _, from := range slices.Sorted(maps.Keys(v.Renamed)) {
			to := v.Renamed[from]
			t, old := has[from]
			_, taken := has[to]
			wanted := slices.ContainsFunc(columns, func(c warehouse.Column) bool { return c.Name == from })
			if !old || taken || wanted {
				continue
			}
			delete(has, from)
			has[to] = t
			pairs = append(pairs, [2]string{from, to})
		}
	}
	return has, pairs
}
