package status

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millstream-data/millstream/internal/lake"
	"github.com/millstream-data/millstream/internal/warehouse"
)

const (
	chainsAtATime  = 16
	commitsAtATime = 1000
	// commitsAtMost are read of one chain: a report is not to take longer than a
	// load.
	commitsAtMost = 20_000
)

// due is what S3 has of a target and the warehouse has not.
type due struct {
	rows   int64
	files  int
	oldest time.Time // commit
	more   bool      // than was counted
}

// places are where targets stand in chains, and where chains are to be read
// from.
type places struct {
	next map[string]map[warehouse.Chain]int64 // by target
	from map[warehouse.Chain]int64
}

func placesOf(positions []warehouse.Position, held []warehouse.Held) places {
	p := places{next: map[string]map[warehouse.Chain]int64{}, from: map[warehouse.Chain]int64{}}
	for _, at := range positions {
		if at.Target == warehouse.LowWater {
			p.from[at.Chain] = at.Next
			continue
		}
		if p.next[at.Target] == nil {
			p.next[at.Target] = map[warehouse.Chain]int64{}
		}
		p.next[at.Target][at.Chain] = at.Next
	}
	for _, h := range held {
		if from, ok := p.from[h.Chain]; h.FileKey == warehouse.WholeTarget && ok && h.First < from {
			p.from[h.Chain] = h.First
		}
	}
	return p
}

// count reads what no load has brought in yet.
func count(ctx context.Context, l *lake.Lake, p places) (map[string]*due, []Gap, error) {
	chains, err := l.Chains(ctx)
	if err != nil {
		return nil, nil, err
	}
	var mu sync.Mutex
	all := map[string]*due{}
	var gaps []Gap
	var g errgroup.Group
	g.SetLimit(chainsAtATime)
	for _, id := range chains {
		g.Go(func() error {
			mine, gap, err := chain(ctx, l, id, p)
			mu.Lock()
			defer mu.Unlock()
			for target, d := range mine {
				all[target] = all[target].plus(d)
			}
			if gap != nil {
				gap.Missed = len(mine)
				gaps = append(gaps, *gap)
			}
			return err
		})
	}
	err = g.Wait()
	slices.SortFunc(gaps, func(a, b Gap) int { return strings.Compare(a.Chain, b.Chain) })
	return all, gaps, err
}

func (d *due) plus(o *due) *due {
	if d == nil {
		return o
	}
	if o.oldest.Before(d.oldest) {
		d.oldest = o.oldest
	}
	d.rows, d.files, d.more = d.rows+o.rows, d.files+o.files, d.more || o.more
	return d
}

// chain counts what is due of one chain, up to a gap.
func chain(ctx context.Context, l *lake.Lake, id lake.ChainID, p places) (map[string]*due, *Gap, error) {
	mine := map[string]*due{}
	at, known := p.from[warehouse.Chain{Topic: id.Topic, Part: id.Partition}]
	if !known {
		first, ok, err := l.First(ctx, id)
		if err != nil || !ok {
			return mine, nil, err
		}
		at = first
	}
	for read := 0; ; {
		commits, err := l.Since(ctx, id, at, commitsAtATime)
		for _, c := range commits {
			p.add(mine, id, c)
			at = c.Next
		}
		var format *lake.FormatError
		if errors.Is(err, lake.ErrChainGap) || errors.As(err, &format) {
			return mine, &Gap{Chain: id.String(), Says: err.Error()}, nil
		}
		if read += len(commits); err != nil || len(commits) < commitsAtATime {
			return mine, nil, err
		}
		if read >= commitsAtMost {
			for _, d := range mine {
				d.more = true
			}
			return mine, nil, nil
		}
	}
}

// add counts a commit's files for those targets that have not loaded it.
func (p places) add(mine map[string]*due, id lake.ChainID, c lake.Commit) {
	for _, f := range c.Files {
		at, ok := p.next[f.Table][warehouse.Chain{Topic: id.Topic, Part: id.Partition}]
		if ok && at >= c.Next {
			continue
		}
		mine[f.Table] = mine[f.Table].plus(&due{rows: f.Rows, files: 1, oldest: c.CreatedAt.Time})
	}
}
