//go:build cgo

package redshift

import "context"

// preparedStatement runs PREPARE, EXECUTE and DEALLOCATE.
func (s *session) preparedStatement(ctx context.Context, st statement, nodes []node) (*result, error) {
	if len(nodes) < 2 {
		return nil, syntaxError("syntax error at end of input")
	}
	switch st.kind {
	case kindPrepare:
		at := 0
		for at < len(st.toks) && st.toks[at].val != "as" {
			at++
		}
		if at+1 >= len(st.toks) {
			return nil, syntaxError("syntax error in PREPARE")
		}
		s.prepared[nodes[1].val] = st.toks[at+1:]
		return &result{tag: st.tag}, nil
	case kindDeallocate:
		name := nodes[len(nodes)-1].val
		if name == "all" {
			clear(s.prepared)
		}
		delete(s.prepared, name)
		return &result{tag: st.tag}, nil
	default:
		inner, err := s.executed(nodes)
		if err != nil {
			return nil, err
		}
		return s.dispatch(ctx, inner, false)
	}
}

// executed is the statement that EXECUTE name(args) means.
func (s *session) executed(nodes []node) (statement, error) {
	if len(nodes) < 2 || s.prepared[nodes[1].val] == nil {
		return statement{}, pgError("26000", "prepared statement does not exist")
	}
	var args [][]node
	if len(nodes) > 2 {
		args = splitNodes(nodes[2].kids)
	}
	toks, err := substitute(s.prepared[nodes[1].val], func(i int) (string, error) {
		if i >= len(args) {
			return "", pgError("42601", "wrong number of parameters for prepared statement %q", nodes[1].val)
		}
		return newRewriter(s.env()).expr(args[i])
	})
	if err != nil {
		return statement{}, err
	}
	return classify(toks)
}
