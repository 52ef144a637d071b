package metric

// Visible tells whether a row of src and rev counts in a day (or, for fine
// cells, a UTC day, which is never sealed) whose state is day and whose base
// revision for the row's version is base: rows of the lake when they are the
// base, streamed rows when they came after it and, once the day is sealed, not
// later than its revision. rollup and serve both ask it, and nobody else decides.
func Visible(src, rev int, day Day, base int) bool {
	if src == 0 {
		return rev == base
	}
	return base < rev && (!day.Sealed || rev <= day.Revision)
}
