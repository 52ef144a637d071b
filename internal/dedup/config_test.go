package dedup

import (
	"strings"
	"testing"
)

func TestDistancesFitTheirBits(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	c.MaxRecords = maxRecords
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	for _, n := range []int64{0, maxRecords + 1} {
		c.MaxRecords = n
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "dedup.max_records") {
			t.Errorf("%d: %v", n, err)
		}
	}
}
