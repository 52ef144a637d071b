package loader

import "time"

// deferSmall keeps small loads back while waves are slow, as a load costs about
// the same for 10 rows as for 100,000.
func (w *waves) deferSmall(ld *load) bool {
	return ld.rows < smallRows && ld.name.Table != "tracks" && time.Since(ld.created) < w.deferral
}

// pace is how long the groups of a wave took. What a wave needs besides, to look
// at lake and ledger, has nothing to do with them.
type pace struct {
	took   time.Duration
	groups int
}

// deferral is how long small loads wait after a wave of this pace: twice as long
// after each that was slower than the interval, half as long after one that
// needed less than half of it. In between it stays, so that a quick wave, which
// left the small ones out, does not call them all at once; and it stays where
// every group had a session of its own: however slow, none waited for another.
func (p pace) deferral(was time.Duration, cfg Config) time.Duration {
	switch {
	case p.took > cfg.Interval && p.groups > cfg.Connections:
		return min(max(2*was, 2*cfg.Interval), cfg.MaxInterval)
	case p.took > cfg.Interval/2:
		return was
	case was/2 < cfg.Interval:
		return 0
	}
	return was / 2
}
