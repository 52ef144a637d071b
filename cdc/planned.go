package cdc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/wire"
)

// planned is the part of an outcome that a table without strategies needs.
type planned struct {
	cfg   TableConfig
	tasks []*task
	state *wire.CDCPlanned
}

// adopt takes the strategies that were planned for a table without any.
func (t *table) adopt(p *wire.CDCPlanned, src SourceConfig) {
	if !t.unplanned || p == nil {
		return
	}
	t.cfg.Strategies = strategiesOf(p)
	t.tasks = nil
	for _, c := range t.cfg.Strategies {
		t.tasks = append(t.tasks, newTask(t, c, src))
	}
}

// planFor is what a plan holds for: the table's configuration and its columns.
func planFor(cfg TableConfig, rel relation) string {
	cfg.Strategies = nil
	text, _ := json.Marshal(cfg) // words and numbers: it always succeeds
	sum := sha256.Sum256(append(text, rel.print...))
	return hex.EncodeToString(sum[:4])
}

// replan plans a table without strategies, unless its plan still holds. It runs
// in a reader.
func (s *slot) replan(ctx context.Context, o *outcome, rel relation) error {
	t := o.t
	if !t.unplanned {
		return nil
	}
	base := t.cfg
	base.Strategies = nil
	holds := planFor(base, rel)
	if t.st.Planned != nil && t.st.Planned.For == holds {
		return nil
	}
	strategies, err := proposeFor(ctx, s.origin, s.source, s.src, t.name, base, rel)
	if err != nil {
		return err
	}
	out := &planned{cfg: base, state: plannedState(holds, strategies)}
	out.cfg.Strategies = strategies
	for _, c := range strategies {
		i := slices.IndexFunc(t.tasks, func(k *task) bool {
			return k.cfg.Kind == c.Kind && slices.Equal(k.cfg.Timestamp, c.Timestamp) && k.cfg.ID == c.ID && k.cfg.Publish == c.Publish
		})
		if i >= 0 {
			t.tasks[i].cfg.Every = c.Every
			out.tasks = append(out.tasks, t.tasks[i])
		} else {
			out.tasks = append(out.tasks, newTask(t, c, s.src))
		}
	}
	o.planned = out
	return nil
}

func plannedState(holds string, strategies []StrategyConfig) *wire.CDCPlanned {
	out := &wire.CDCPlanned{For: holds}
	for _, c := range strategies {
		out.Strategies = append(out.Strategies, wire.CDCPlannedStrategy{
			Kind: c.Kind, Timestamp: c.Timestamp.String(), ID: c.ID, Publish: c.Publish, Every: c.Every.String(),
		})
	}
	return out
}

// strategiesOf reads a plan from the state; what this version does not know of
// it is planned anew, since its hash covers the words.
func strategiesOf(p *wire.CDCPlanned) []StrategyConfig {
	out := make([]StrategyConfig, 0, len(p.Strategies))
	for _, s := range p.Strategies {
		every, err := time.ParseDuration(s.Every)
		if err != nil {
			every = 0 // the kind's default
		}
		out = append(out, (&plan{}).strategyOf(s.Kind, s.Timestamp, s.ID, s.Publish, every))
	}
	return out
}

// proposeFor surveys a table at the origin and proposes strategies for it.
func proposeFor(ctx context.Context, o surveyor, source string, src SourceConfig, name string, cfg TableConfig, rel relation) ([]StrategyConfig, error) {
	p, err := barePlan(source, src.Kind, name, cfg, rel)
	if err != nil {
		return nil, err
	}
	s, err := surveyTable(ctx, o, src.Kind, rel.schema, rel.table)
	if err != nil {
		return nil, err
	}
	out, err := propose(src.Kind, p, s)
	if err != nil {
		return nil, err
	}
	cfg.Strategies = out
	src.Tables = map[string]TableConfig{name: cfg}
	if err := src.unlanded(""); err != nil {
		return nil, refuse("unsupported", "name strategies in the configuration", "%s would be read by %s: %s", name, describeStrategies(out), err)
	}
	return out, nil
}

// barePlan is a plan without strategies, whose key may be missing.
func barePlan(source, kind, name string, cfg TableConfig, rel relation) (*plan, error) {
	p := &plan{source: source, kind: kind, name: name, cfg: cfg, rel: rel, stamp: -1, id: -1}
	if len(rel.columns) == 0 {
		return nil, refuse("no_columns", "grant SELECT on the table", "%s has no readable column", name)
	}
	if err := p.pickColumns(); err != nil {
		return nil, err
	}
	if err := p.findKey(); err != nil {
		if r, ok := err.(*refusal); !ok || r.code != "no_key" { //nolint:errorlint // findKey returns it bare
			return nil, err
		}
		p.key = nil
	}
	return p, p.checkNames()
}

// surveyTable asks for a table's size: rows are counted up to where the plan
// does not change any more, since estimates are missing for new tables.
func surveyTable(ctx context.Context, o surveyor, kind, schema, table string) (surveyed, error) {
	infos, err := o.tables(ctx)
	if err != nil {
		return surveyed{}, err
	}
	s := surveyed{info: tableInfo{schema: schema, name: table, kind: relationTable, rows: -1, bytes: -1}}
	if i := slices.IndexFunc(infos, func(t tableInfo) bool { return t.schema == schema && t.name == table }); i >= 0 {
		s.info = infos[i]
	}
	s.rows, err = countUpTo(ctx, o, kind, s.info, proposeKeyless+1)
	return s, err
}

// countUpTo counts rows up to a limit; where the catalogue says that there are
// far more, nothing is read.
func countUpTo(ctx context.Context, o surveyor, kind string, t tableInfo, limit int64) (int64, error) {
	if t.rows > 2*limit {
		return t.rows, nil
	}
	rows, err := o.survey(ctx, fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s LIMIT %d) AS x", qualified(kind, t.schema, t.name), limit))
	if err != nil || len(rows) != 1 {
		return 0, err
	}
	return strconv.ParseInt(rows[0][0], 10, 64)
}
