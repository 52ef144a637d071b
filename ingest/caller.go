package ingest

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// callerOf reads who sends r: for browsers' keys all of it goes into the context, for servers' keys only the address,
// and only if an event asks for it.
func (s *Server) callerOf(r *http.Request, browser bool, a *arena) caller {
	c := caller{browser: browser}
	if addr := s.clientAddr(r); addr.IsValid() {
		a.room(64)
		lo := len(a.buf)
		a.buf = append(addr.AppendTo(append(a.buf, '"')), '"')
		c.ip = a.since(lo)
	}
	if browser {
		c.userAgent = a.quoted(r.Header.Get("User-Agent"))
		tag, _, _ := strings.Cut(r.Header.Get("Accept-Language"), ",")
		tag, _, _ = strings.Cut(tag, ";")
		if tag = strings.TrimSpace(tag); tag != "*" {
			c.locale = a.quoted(tag)
		}
	}
	return c
}

// quoted returns s as a JSON string in the arena, or nil if it is empty.
func (a *arena) quoted(s string) []byte {
	if s == "" {
		return nil
	}
	a.room(6*len(s) + 2)
	lo := len(a.buf)
	a.buf = appendQuoted(a.buf, []byte(s))
	return a.since(lo)
}

// clientAddr is the TCP peer; behind trusted proxies it is the rightmost address in their header that is not theirs.
func (s *Server) clientAddr(r *http.Request) netip.Addr {
	peer := parseAddr(r.RemoteAddr)
	if !s.trusted(peer) {
		return peer
	}
	values := r.Header.Values(s.cfg.ClientIPHeader)
	for _, list := range slices.Backward(values) {
		for list != "" {
			at := strings.LastIndexByte(list, ',')
			addr := parseAddr(list[at+1:])
			if !addr.IsValid() {
				return peer // what stands left of it cannot be trusted
			}
			if peer = addr; !s.trusted(addr) {
				return addr
			}
			list = list[:max(at, 0)]
		}
	}
	return peer
}

func (s *Server) trusted(addr netip.Addr) bool {
	for _, p := range s.proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// parseAddr reads an address with or without port and brackets; an IPv4 address in IPv6 clothing becomes IPv4.
func parseAddr(text string) netip.Addr {
	text = strings.TrimSpace(text)
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}
