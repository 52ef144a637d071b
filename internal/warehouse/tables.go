package warehouse

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millstream-data/millstream/internal/config"
)

// TableConfig is what differs for one table from the rules of its kind.
type TableConfig struct {
	DistKey string   `yaml:"distkey" doc:"column of the DISTKEY; empty: by the rules"`
	SortKey []string `yaml:"sortkey" doc:"columns of the SORTKEY; empty: by the rules"`
	Dedupe  string   `yaml:"dedupe" doc:"window (dedup.window), off, or a longer time such as 72h, within which two events of one id are one"`
}

// The words of TableConfig.Dedupe; empty is dedupeWindow.
const (
	dedupeWindow = "window"
	dedupeOff    = "off"
)

// Window is the time within which two rows of one id of table n are one; 0
// stands for none. It is window, which batcher and rollup use, unless the
// configuration says otherwise for the table.
func (c Config) Window(n Name, window time.Duration) time.Duration {
	switch text := c.Tables[n.String()].Dedupe; text {
	case "", dedupeWindow:
		return window
	case dedupeOff:
		return 0
	default:
		d, _ := time.ParseDuration(text) // Validate has seen to it
		return max(d, window)            // what the batcher has removed does not come back
	}
}

// layoutFor is the layout of kind l with what the configuration says of table n.
func (c Config) layoutFor(n Name, l Layout) (own Layout, overridden bool) {
	t := c.Tables[n.String()]
	if t.DistKey != "" {
		l.DistKey, l.Style = t.DistKey, ""
	}
	if len(t.SortKey) > 0 {
		l.SortKey = t.SortKey
	}
	return l, t.DistKey != "" || len(t.SortKey) > 0
}

func (c Config) validateTables() error {
	var errs []error
	for _, target := range slices.Sorted(maps.Keys(c.Tables)) {
		key := "warehouse.tables." + target
		if _, err := ParseName(target); err != nil {
			errs = append(errs, config.Invalid("warehouse.tables", "must name tables as schema.table, such as app.order_completed (got %q)", target))
		}
		switch t := c.Tables[target]; t.Dedupe {
		case "", dedupeWindow, dedupeOff:
		default:
			if d, err := time.ParseDuration(t.Dedupe); err != nil || d < time.Second {
				errs = append(errs, config.Invalid(key+".dedupe", "must be window, off, or a time of at least 1s such as 72h (got %q)", t.Dedupe))
			}
		}
	}
	return errors.Join(errs...)
}

// grantees are kinds of those whom grants may name.
var grantees = []struct{ prefix, word string }{{"group:", "GROUP "}, {"role:", "ROLE "}, {"user:", ""}}

// grantTo is how GRANT names one of Config.Grants.
func grantTo(text string) string {
	for _, g := range grantees {
		if name, ok := strings.CutPrefix(text, g.prefix); ok {
			return g.word + Ident(name)
		}
	}
	return "GROUP " + Ident(text)
}

func (c Config) validateGrants() error {
	var errs []error
	for i, g := range c.Grants {
		name := g
		for _, kind := range grantees {
			name = strings.TrimPrefix(name, kind.prefix)
		}
		if name == "" {
			errs = append(errs, config.Invalid(fmt.Sprintf("warehouse.grants[%d]", i), "must name a group, such as analysts, or a role, such as role:analysts (got %q)", g))
		}
	}
	return errors.Join(errs...)
}
