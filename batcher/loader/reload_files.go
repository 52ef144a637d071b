package loader

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/warehouse"
	"github.com/millstream-data/millstream/internal/wire"
)

type columnOfFile = wire.Column

func schema8(s lake.Schema) string { return wire.Schema8(s.Fingerprint) }

// files returns what a reload begins with: the files that make up the target
// today, where compacted ones stand for what they replace, through the end of
// each chain, or for single days through where the target is loaded. Files that
// are held stay so, unless a compacted one has their rows.
func (r *reloading) files(ctx context.Context) ([]dueFile, error) {
	const tries = 3 // a compaction may take in what was committed a moment ago
	var err error
	for range tries {
		if err := r.aim(ctx); err != nil {
			return nil, err
		}
		var files []dueFile
		if files, err = r.effective(ctx); err == nil {
			return files, nil
		}
	}
	return nil, err
}

// aim sets how far the reload goes.
func (r *reloading) aim(ctx context.Context) error {
	maps.Copy(r.goal, r.led.positions[r.Target])
	if !r.Days.All() {
		return nil
	}
	topics := map[string]bool{}
	for id := range r.led.positions[r.Target] {
		topics[id.Topic] = true
	}
	if t := r.led.targets[r.Target]; t != nil {
		for id := range t.from {
			topics[id.Topic] = true
		}
	}
	ids, err := r.lake.Chains(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if !topics[id.Topic] {
			continue
		}
		last, ok, err := r.lake.Last(ctx, id, -1)
		if err != nil {
			return err
		}
		if ok {
			r.goal[warehouse.Chain{Topic: id.Topic, Part: id.Partition}] = last.Next
		}
	}
	return nil
}

// effective lists the files that readers of the lake take, below the goal.
func (r *reloading) effective(ctx context.Context) ([]dueFile, error) {
	compactions, err := r.lake.CompactionsOf(ctx, r.name.Schema, r.name.Table, "")
	if err != nil {
		return nil, err
	}
	r.wrote = map[string]lake.Compaction{}
	for _, c := range compactions {
		for _, f := range c.Files {
			r.wrote[f.Key] = c
		}
	}
	held := r.heldFiles()
	var out []dueFile
	for _, day := range r.days() {
		files, err := r.lake.Files(ctx, r.Target, day)
		if err != nil {
			return nil, fmt.Errorf("files of %s: %w", r.name, err)
		}
		for _, f := range files {
			within, beyond := r.place(f.Key)
			switch {
			case len(within) == 0:
				continue
			case beyond:
				return nil, fmt.Errorf("the file %s holds rows that the loader has not brought into %s yet; wait for it, or mend what millstream.held says of the table", f.Key, r.name)
			}
			version, known := r.versions[f.Schema]
			if !known {
				return nil, fmt.Errorf("file %s has the schema %s, which is no version of %s in the lake", f.Key, f.Schema, r.name)
			}
			for _, id := range within {
				r.gotChains[id] = true
			}
			due := dueFile{File: f, chain: within[0], first: f.First, schema: version}
			if held[f.Key] {
				r.waiting[f.Key] = due
				continue
			}
			out = append(out, due)
		}
	}
	return out, nil
}

// heldFiles are the keys of files that are held or given up.
func (r *reloading) heldFiles() map[string]bool {
	out := map[string]bool{}
	for _, h := range r.led.files {
		out[h.FileKey] = true
	}
	return out
}

// days are what Lake.Files is asked for: each day, or all at once.
func (r *reloading) days() []string {
	if r.Days.All() {
		return []string{""}
	}
	var out []string
	for d := r.Days.From; d.Before(r.Days.To); d = d.AddDate(0, 0, 1) {
		out = append(out, d.Format(time.DateOnly))
	}
	return out
}

// place says of which chains a file holds rows below the goal, and whether it
// holds others too.
func (r *reloading) place(key string) (within []warehouse.Chain, beyond bool) {
	if c, ok := r.wrote[key]; ok {
		for _, replaced := range c.Replaces {
			in, out := r.place(replaced)
			within, beyond = append(within, in...), beyond || out
		}
		return within, beyond
	}
	k, ok := r.lake.Paths.ParseData(key)
	id := warehouse.Chain{Topic: k.Chain.Topic, Part: k.Chain.Partition}
	if goal, known := r.goal[id]; !ok || !known || k.First >= goal {
		return nil, true
	}
	return []warehouse.Chain{id}, false
}

// catchUp loads what commits have brought beyond the goal: all of it, or for
// single days as much as the loader has.
func (r *reloading) catchUp(ctx context.Context) error {
	if err := r.readLedger(ctx); err != nil {
		return err
	}
	for id := range r.led.positions[r.Target] {
		if _, known := r.goal[id]; known {
			continue
		}
		first, ok, err := r.lake.First(ctx, lake.ChainID{Topic: id.Topic, Partition: id.Part})
		if err != nil {
			return err
		}
		if ok {
			r.goal[id] = first
		}
	}
	held := r.heldFiles()
	var files []dueFile
	for key, f := range r.waiting {
		if !held[key] { // the loader has brought it into the table that is replaced
			files = append(files, f)
			delete(r.waiting, key)
		}
	}
	for _, id := range sortedChains(r.goal) {
		upto := int64(math.MaxInt64)
		if !r.Days.All() {
			upto = r.led.position(r.Target, id)
		}
		more, err := r.since(ctx, id, upto)
		if err != nil {
			return err
		}
		files = append(files, more...)
	}
	return r.load(ctx, files)
}

// since reads a chain's commits from the goal up to an offset, and moves the
// goal.
func (r *reloading) since(ctx context.Context, id warehouse.Chain, upto int64) ([]dueFile, error) {
	var out []dueFile
	for r.goal[id] < upto {
		commits, err := r.lake.Since(ctx, lake.ChainID{Topic: id.Topic, Partition: id.Part}, r.goal[id], commitsAtATime)
		if err != nil {
			return nil, err
		}
		for _, c := range commits {
			if c.First >= upto {
				return out, nil
			}
			for _, f := range c.Files {
				if f.Table == r.Target && (r.Days.All() || slices.Contains(r.days(), f.DT)) {
					out = append(out, dueFile{File: f, chain: id, first: c.First, schema: c.Schemas[f.Schema]})
				}
			}
			r.goal[id] = c.Next
		}
		if len(commits) == 0 {
			return out, nil
		}
	}
	return out, nil
}
