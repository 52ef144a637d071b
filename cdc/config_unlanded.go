package cdc

import (
	"errors"
	"fmt"
	"slices"

	"github.com/millstream-data/millstream/internal/config"
)

// unlanded refuses what the configuration can say and the engine does not do.
// An option that is read and does nothing would be worse than none.
func (c Config) unlanded() error {
	var errs []error
	for _, name := range sortedKeys(c.Sources) {
		errs = append(errs, c.Sources[name].unlanded("cdc.sources."+name))
	}
	if c.Topics.Schemas == schemasInline {
		errs = append(errs, config.Invalid("cdc.topics.schemas", "inline is not supported yet"))
	}
	return errors.Join(errs...)
}

func (s SourceConfig) unlanded(path string) error {
	var errs []error
	no := func(key string, used bool) {
		if used {
			errs = append(errs, config.Invalid(path+"."+key, "is not supported yet"))
		}
	}
	no("horizon_dsn", s.HorizonDSN != "" && s.Kind != kindPostgres)
	for _, name := range sortedKeys(s.Tables) {
		t := s.Tables[name]
		at := "tables." + name
		for i, st := range t.Strategies {
			in := fmt.Sprintf("%s.strategies[%d].", at, i)
			no(in+"scan", st.Scan == scanHeap)
			no(in+"timestamp", len(st.Timestamp) > 1)
		}
		no(at+".rows.soft_delete", t.Rows.SoftDelete != "")
		no(at+".clock.zone", t.Clock.Zone != "UTC")
	}
	return errors.Join(slices.DeleteFunc(errs, func(e error) bool { return e == nil })...)
}
