package loader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/millstream-data/millstream/internal/event"
	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/warehouse"
)

// mirrorPlan finds a load's destinations.
type mirrorPlan struct {
	*session
	w        *work
	groups   [][]dueFile
	existing map[warehouse.Name]warehouse.Existing
	versions []lake.Schema // all of them, the oldest first; none where nothing was renamed
}

// prepareMirror does for a mirror what prepareOne does for events: several
// tables may take the changes.
func (s *session) prepareMirror(ctx context.Context, w *work, existing map[warehouse.Name]warehouse.Existing) error {
	p := &mirrorPlan{session: s, w: w, groups: w.bySchema(), existing: existing}
	info, err := s.readInfo(ctx, w, p.groups[len(p.groups)-1][0].schema)
	if err != nil {
		return err
	}
	w.info = info
	if info.kind != kindMirror {
		return &targetError{work: w, reason: reasonColumns, err: errors.New("the files hold changes, and the lake's schema says that the table holds events")}
	}
	if err := p.readVersions(ctx); err != nil {
		return err
	}
	refreshing, err := p.refreshes(ctx)
	if err != nil {
		return err
	}
	if err := p.target(ctx, refreshing); err != nil {
		return err
	}
	if len(w.mirror.into) == 0 {
		return nil // rows of polls that are void, of a table without a key
	}
	if err := s.widen(ctx, w); err != nil {
		return err
	}
	if err := s.stage(ctx, w); err != nil {
		return err
	}
	if err := s.stageChanges(ctx, w); err != nil {
		return ownFault(w, err)
	}
	return nil
}

// target plans the mirror itself. Where its columns cannot take the changes, or
// it is gone, it waits for the table that takes its place, if one is being
// filled.
func (p *mirrorPlan) target(ctx context.Context, refreshing bool) error {
	w := p.w
	if len(w.info.key) == 0 {
		if len(w.mirror.next) == 0 {
			return &targetError{work: w, reason: reasonKey, err: errors.New("the lake's schema names no key, and no full poll brings the table as a whole")}
		}
		return nil
	}
	err := p.gone(ctx)
	if err == nil {
		var d *destination
		if d, err = p.rows(w.name, p.groups, w.info.key); err == nil {
			w.mirror.into = append([]*destination{d}, w.mirror.into...)
			p.keys()
			return nil
		}
	}
	var fault *targetError
	if !errors.As(err, &fault) || !refreshing {
		return err
	}
	p.l.log.Warn("mirror waits for its refresh", "target", w.target(), "reason", fault.reason, "err", fault.err)
	return nil
}

// gone says that a mirror which had rows is no more.
func (p *mirrorPlan) gone(ctx context.Context) error {
	w := p.w
	if p.existing[w.name] != nil || !w.everLoaded() {
		return nil
	}
	files, err := p.conn.LoadedFiles(ctx, w.target())
	if err != nil || files == 0 {
		return err
	}
	return &targetError{work: w, reason: reasonDropped, err: fmt.Errorf("the table %s is gone, and the rows that it had are in the lake", w.name)}
}

// rows plans a table of rows for the changes of groups.
func (p *mirrorPlan) rows(name warehouse.Name, groups [][]dueFile, key []string) (*destination, error) {
	w := p.w
	sh, renamed, err := p.fit(name, groups)
	if err != nil {
		return nil, &targetError{work: w, reason: reasonRetyped, err: err}
	}
	w.shapes = append(w.shapes, sh)
	d := &destination{name: name, schemas: map[string]bool{}}
	for _, files := range groups {
		d.schemas[files[0].schema.Fingerprint] = true
	}
	d.changes = warehouse.Changes{Columns: sh.columns, Key: key, Renamed: renamed, Temp: "chg_" + w.id}
	if len(groups) < len(p.groups) { // the newest ones: no two destinations have as many and others
		d.changes.Temp += "_" + strconv.Itoa(len(groups))
	}
	return d, nil
}

// fit is fit for several versions of a mirror, whose columns have been renamed.
func (p *mirrorPlan) fit(name warehouse.Name, groups [][]dueFile) (shape, map[string]string, error) {
	renamed := map[string]string{}
	var columns []warehouse.Column
	for _, files := range groups {
		names := p.renamesSince(files[0].schema.Version)
		all, err := columnsOf([][]dueFile{files})
		if err != nil {
			return shape{}, nil, err
		}
		own, err := originColumns(all)
		if err != nil {
			return shape{}, nil, err
		}
		for _, c := range own {
			if to, ok := names[c.Name]; ok {
				renamed[c.Name], c.Name = to, to
			}
			at := slices.IndexFunc(columns, func(o warehouse.Column) bool { return o.Name == c.Name })
			if at < 0 {
				columns = append(columns, c)
				continue
			}
			c.Longest = max(c.Longest, columns[at].Longest)
			columns[at] = c
		}
	}
	existing, pairs := p.rename(name, columns)
	sh, err := fit(name, columns, existing, p.w.info, layoutOf(p.w.info, p.w.load))
	if err != nil {
		return sh, nil, err
	}
	sh.renames = pairs
	for _, files := range groups { // an older version's values too
		names := p.renamesSince(files[0].schema.Version)
		for _, c := range files[0].schema.Columns {
			now := c.Name
			if to, ok := names[now]; ok {
				now = to
			}
			at := slices.IndexFunc(sh.columns, func(o warehouse.Column) bool { return o.Name == now })
			if at >= 0 && !warehouse.Fits(c.Type, sh.columns[at].Type) {
				return sh, nil, fmt.Errorf("column %s of %s is %s, which does not hold every %s", now, name, sh.columns[at].Type.SQL(), c.Type)
			}
		}
	}
	return sh, renamed, nil
}

// refreshes plans the tables that are to take the mirror's place, and says
// whether there is one.
func (p *mirrorPlan) refreshes(ctx context.Context) (bool, error) {
	m := p.w.mirror
	for _, poll := range m.next.working() {
		if poll.Kind == string(event.PollBounded) {
			continue
		}
		if poll.Work == "" && len(p.w.info.key) > 0 {
			fills, err := p.fills(ctx, poll)
			if err != nil {
				return false, err
			}
			if fills {
				m.next = m.next.withWork(poll.Strategy, poll.ID, poll.Target)
				continue
			}
		}
		if poll.Work == poll.Target {
			continue
		}
		if err := p.refresh(ctx, poll); err != nil {
			return false, err
		}
	}
	return slices.ContainsFunc(m.next.working(), func(q warehouse.Poll) bool {
		return q.Kind != string(event.PollBounded) && q.Work != q.Target
	}), nil
}

// refresh plans the table of one full poll. A poll whose table cannot take its
// own rows any more is given up; the next one begins anew.
func (p *mirrorPlan) refresh(ctx context.Context, poll warehouse.Poll) error {
	m := p.w.mirror
	after := m.next.started(poll)
	groups := p.behind(after)
	if len(groups) == 0 {
		return nil
	}
	fresh := poll.Work == ""
	if fresh {
		poll.Work = p.w.name.Beside("__refresh_" + event.ULID(time.Now())).String() // nobody else's table has the name
	}
	name, err := warehouse.ParseName(poll.Work)
	if err != nil {
		return err
	}
	var d *destination
	if fresh || p.existing[name] != nil {
		d, err = p.rows(name, groups, p.w.info.key)
	} else {
		err = &targetError{work: p.w, reason: reasonDropped, err: fmt.Errorf("the table %s is gone", name)}
	}
	if fault, ok := errors.AsType[*targetError](err); ok {
		p.l.log.Warn("refresh given up", "target", poll.Target, "poll", poll.ID, "err", fault.err)
		m.next = m.next.without(poll.Strategy, map[string]bool{poll.ID: true})
		return nil
	}
	if err != nil {
		return err
	}
	m.next = m.next.withWork(poll.Strategy, poll.ID, poll.Work)
	d.poll, d.after = poll, after
	m.into = append(m.into, d)
	if fresh {
		return p.likeTarget(ctx, &p.w.shapes[len(p.w.shapes)-1])
	}
	return nil
}

// likeTarget gives a new table the widths, encodings and distribution of the
// mirror.
func (p *mirrorPlan) likeTarget(ctx context.Context, sh *shape) error {
	sh.as = p.w.name
	has := p.existing[p.w.name]
	if has == nil {
		return nil
	}
	encodings, layout, err := p.conn.Like(ctx, p.w.name, sh.layout)
	if err != nil {
		return err
	}
	sh.layout = layout
	for i := range sh.columns {
		c := &sh.columns[i]
		old, ok := has[c.Name]
		if !ok || old.Kind != c.Type.Kind {
			continue
		}
		if c.Type.Kind == warehouse.Varchar {
			c.Type.Width = max(c.Type.Width, old.Width)
		}
		c.Encoding = warehouse.KeptEncoding(c.Type, encodings[c.Name])
	}
	return nil
}

// fills says that a full poll may fill the mirror itself: it is empty, and
// nothing comes that is older than the poll.
func (p *mirrorPlan) fills(ctx context.Context, poll warehouse.Poll) (bool, error) {
	after := p.w.mirror.next.started(poll)
	if len(after) < int(poll.Parts) {
		return false, nil
	}
	for _, f := range p.w.files {
		if at, ok := after[f.chain.Part]; !ok || f.First < at {
			return false, nil
		}
	}
	if p.existing[p.w.name] == nil {
		return true, nil
	}
	res, err := p.conn.Exec(ctx, "SELECT 1 FROM "+p.w.name.SQL()+" LIMIT 1")
	return err == nil && len(res.Rows) == 0, err
}

// started is where a poll began in each partition.
func (ps polls) started(poll warehouse.Poll) warehouse.After {
	out := warehouse.After{}
	for _, q := range ps.of(poll.Strategy, poll.ID) {
		out[q.Part] = q.Started
	}
	return out
}

// behind returns the groups with files that reach beyond after.
func (p *mirrorPlan) behind(after warehouse.After) [][]dueFile {
	var out [][]dueFile
	for _, files := range p.groups {
		if slices.ContainsFunc(files, func(f dueFile) bool {
			at, ok := after[f.chain.Part]
			return ok && f.Next > at
		}) {
			out = append(out, files)
		}
	}
	return out
}

// keys plans the tables in which bounded polls collect the keys of what exists.
// They look at the mirror's own changes.
func (p *mirrorPlan) keys() {
	m := p.w.mirror
	for _, poll := range m.next.working() {
		after := m.next.started(poll)
		if poll.Kind != string(event.PollBounded) || len(p.behind(after)) == 0 {
			continue
		}
		of := m.into[0]
		d := &destination{name: warehouse.Name{Schema: warehouse.WorkSchema, Table: poll.ID}, poll: poll, after: after, keys: true, schemas: of.schemas, changes: of.changes}
		switch {
		case poll.Work == "":
			d.create = d.changes.CreateKeys(d.name)
			m.next = m.next.withWork(poll.Strategy, poll.ID, d.name.String())
		case p.existing[d.name] == nil:
			p.l.log.Warn("bounded poll given up, its keys are gone", "target", poll.Target, "poll", poll.ID)
			m.next = m.next.without(poll.Strategy, map[string]bool{poll.ID: true})
			continue
		}
		m.into = append(m.into, d)
	}
}
