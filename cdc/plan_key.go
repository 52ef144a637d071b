package cdc

import "slices"

// findKey chooses the columns that name a row: the primary key, else a unique
// index, else what the configuration says.
func (p *plan) findKey() error {
	names := p.cfg.Key
	if pk := slices.IndexFunc(p.rel.indexes, func(x index) bool { return x.primary }); pk >= 0 {
		names = p.rel.indexes[pk].columns
	} else if best := p.uniqueIndex(); best != nil {
		names = best
	}
	if len(names) == 0 && p.replacedWhole() {
		return nil
	}
	if len(names) == 0 {
		return p.noKey()
	}
	for _, n := range names {
		i := p.rel.index(n)
		if i < 0 {
			return refuse("key_missing", "mend key: in the configuration", "%s has no column %s for its key", p.name, n)
		}
		p.key = append(p.key, i)
	}
	return nil
}

func (p *plan) noKey() error {
	return refuse("no_key", "add a primary key, name unique columns in key:, or let {kind: full, publish: replace} be its only strategy",
		"%s has no primary key and no unique index without NULLs", p.name)
}

// replacedWhole says whether every poll replaces the whole table, which needs no key.
func (p *plan) replacedWhole() bool {
	return len(p.cfg.Strategies) > 0 && !slices.ContainsFunc(p.cfg.Strategies, func(c StrategyConfig) bool {
		return c.Kind != kindFull || c.Publish != publishReplace
	})
}

// uniqueIndex is the unique index of NOT NULL columns with the fewest columns.
func (p *plan) uniqueIndex() []string {
	var best []string
	for _, x := range p.rel.indexes {
		usable := x.unique && !slices.ContainsFunc(x.columns, func(n string) bool {
			i := p.rel.index(n)
			return i < 0 || !p.rel.columns[i].notNull
		})
		if usable && (best == nil || len(x.columns) < len(best)) {
			best = x.columns
		}
	}
	return best
}
