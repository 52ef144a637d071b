package redshift

// super reports whether an argument is, by its look, a value inside a SUPER: a path with a subscript, or one that
// begins at an element that FROM unnests.
func (rw *rewriter) super(arg []node) bool {
	if len(arg) == 0 || !arg[0].name() {
		return false
	}
	subscript := false
	for i, n := range arg {
		switch {
		case n.open == '[':
			subscript = true
		case n.op("."), n.name() && (i == 0 || arg[i-1].op(".")):
		default:
			return false
		}
	}
	return subscript || rw.elements[arg[0].val]
}
