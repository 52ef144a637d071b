package cdc

import (
	"testing"
)

// TestMutations breaks a rule at a time. A test that still passes with its rule
// broken would be too weak to keep it. Rules that only real servers show are in
// the integration tests' half of this.
func TestMutations(t *testing.T) {
	t.Parallel()
	const seeds = 10
	cases := map[string]struct {
		faults faults
		noted  func(seed uint64, f faults) error
	}{
		"no slack": {faults{noSlack: true}, eitherModel},
		"a first sample bounds what it cannot date by its own clock": {faults{firstAtT0: true}, locksModel},
		"a chained transaction is bounded by its own first sight":    {faults{noPredecessor: true}, locksModel},
		"a clock that is set back goes unnoticed":                    {faults{noClockStep: true}, eitherModel},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(seeds) {
				if c.noted(seed, c.faults) != nil {
					return
				}
			}
			t.Errorf("%d seeds pass although the rule is broken", seeds)
		})
	}
}

func locksModel(seed uint64, f faults) error { return runModel(seed, false, f) }

func eitherModel(seed uint64, f faults) error {
	if err := runModel(seed, true, f); err != nil {
		return err
	}
	return locksModel(seed, f)
}
