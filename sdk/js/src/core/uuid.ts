/**
 * Returns a maker of UUIDv7 (RFC 9562, method 1): 48 bits of milliseconds, a counter of 12 bits that starts below 2048
 * and rises within a millisecond, 62 random bits. A full counter, and a clock that goes back, borrow from the future.
 */
export function uuids(random: (numbers: Uint16Array) => void): (now: number) => string {
  const r = new Uint16Array(5)
  let last = 0
  let counter = 4095
  return now => {
    random(r)
    if (now > last || ++counter > 4095) {
      last = Math.max(now, last + 1)
      counter = r[0]! & 2047
    }
    const time = hex(last, 12)
    return (
      time.slice(0, 8) + '-' + time.slice(8) + '-' + hex(0x7000 + counter, 4) + '-' + hex(0x8000 + (r[1]! & 0x3fff), 4) +
      '-' + hex((r[2]! * 65536 + r[3]!) * 65536 + r[4]!, 12)
    )
  }
}

function hex(n: number, digits: number): string {
  return n.toString(16).padStart(digits, '0')
}
