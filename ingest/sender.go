package ingest

import (
	"encoding/json"
	"net/http"

	"github.com/millstream-data/millstream/internal/wire"
)

// maxSender bounds what a dead letter says of its sender.
const maxSender = 4 << 10

// meet notes who sends r.
func (rq *request) meet(r *http.Request) {
	rq.caller = rq.srv.callerOf(r, rq.access.kind == KindBrowser || rq.kind == routePixel, &rq.arena)
	rq.suspect(r.UserAgent())
}

// recall notes who sent a dead letter, as far as it says so. One of a browser may have come before letters did.
func (rq *request) recall(r *wire.Rejected) {
	var kept struct {
		Browser               bool
		IP, UserAgent, Locale *string
	}
	_ = json.Unmarshal(r.Sender, &kept) // what cannot be read says nothing
	text := func(s *string) []byte {
		if s == nil {
			return nil
		}
		return rq.arena.quoted(*s)
	}
	rq.caller = caller{
		ip: text(kept.IP), userAgent: text(kept.UserAgent), locale: text(kept.Locale),
		browser: kept.Browser || rq.access.kind == KindBrowser || rq.kind == routePixel,
	}
	if kept.UserAgent != nil {
		rq.suspect(*kept.UserAgent)
	} else {
		rq.suspect("")
	}
}

func (rq *request) suspect(userAgent string) {
	if rq.caller.browser && rq.access.source.bots != BotsIgnore {
		rq.caller.suspect, rq.caller.bot = true, isBot(userAgent)
	}
}

// sender is what a dead letter of the event at i, or of the request at -1, keeps of who sent it, so that a replay fills in
// what the first arrival would have: of browsers all of c, of servers the address if it was asked for. c is after the
// rules of the source.
func (rq *request) sender(i int, c *caller) []byte {
	var out []byte
	switch {
	case c.browser:
		out = append(make([]byte, 0, 256), `{"browser":true`...)
	case len(c.ip) > 0 && (i < 0 || rq.asksForAddress(i)):
		out = []byte{'{'}
	default:
		return nil
	}
	for _, m := range []struct {
		name string
		text []byte
	}{{`"ip":`, c.ip}, {`"userAgent":`, c.userAgent}, {`"locale":`, c.locale}} {
		if c.browser || m.name == `"ip":` {
			if n := len(m.text); n > 0 && len(out)+n+len(m.name) < maxSender {
				out = append(appendMember(out, 1, m.name), m.text...)
			}
		}
	}
	return append(out, '}')
}

// asksForAddress says whether the event at i of a server wants the address of its request.
func (rq *request) asksForAddress(i int) bool {
	own, shared := rq.idx.events[i].context, rq.idx.env.contextParts
	return isDirect(rq.body.b, rq.idx.sub[own.lo:own.hi], rq.idx.sub[shared.lo:shared.hi])
}
