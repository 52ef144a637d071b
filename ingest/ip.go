package ingest

import (
	"net/netip"

	"github.com/millstream-data/millstream/internal/config"
)

// compile returns what becomes of addresses; actNone keeps them.
func (p IPPolicy) compile(path string, hashKey config.Secret) (action, error) {
	switch p {
	case "", IPKeep:
		return actNone, nil
	case IPTruncate:
		return actTruncate, nil
	case IPHash:
		if hashKey == "" {
			return actNone, config.Invalid(path, "must not be hash without a key: set ingest.privacy_hash_key, or truncate or drop")
		}
		return actHashAddr, nil
	case IPDrop:
		return actDrop, nil
	}
	return actNone, config.OneOf(path, p, IPKeep, IPTruncate, IPHash, IPDrop)
}

// network returns the /24 or /48 of the address that text is; false if it is none.
func network(text []byte) (netip.Addr, bool) {
	addr, ok := readAddr(text)
	if !ok {
		return addr, false
	}
	bits := 24
	if addr.Is6() {
		bits = 48
	}
	p, err := addr.Prefix(bits)
	return p.Addr(), err == nil
}

// longestAddr bounds what is looked at as an address: IPv6 with a zone is the longest, in brackets and with a port.
const longestAddr = 128

// readAddr reads an address as parseAddr does. The dotted ones, which are the most, it reads without allocating.
func readAddr(text []byte) (netip.Addr, bool) {
	if len(text) > longestAddr {
		return netip.Addr{}, false
	}
	if addr, ok := dotted(text); ok {
		return addr, true
	}
	addr := parseAddr(string(text))
	return addr, addr.IsValid()
}

// dotted reads four decimal numbers without leading zeros.
func dotted(text []byte) (netip.Addr, bool) {
	var out [4]byte
	for i := range out {
		if i > 0 {
			if len(text) == 0 || text[0] != '.' {
				return netip.Addr{}, false
			}
			text = text[1:]
		}
		n := digits(text, 0)
		if n == 0 || n > 3 || n > 1 && text[0] == '0' || number(text[:n]) > 255 {
			return netip.Addr{}, false
		}
		out[i], text = byte(number(text[:n])), text[n:]
	}
	return netip.AddrFrom4(out), len(text) == 0
}
