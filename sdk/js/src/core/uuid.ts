/**
 * Returns a maker of UUIDv7 (RFC 9562, method 1): 48 bits of milliseconds, a counter of 12 bits that starts below 2048
 * and rises within a millisecond, 62 random bits. A full counter, and a clock that goes back, borrow from the future.
 */
export function uuids(random: (numbers: Uint8Array) => void): (now: number) => string {
  const hex = Array.from({ length: 256 }, (_, i) => (i + 256).toString(16).slice(1))
  const r = new Uint8Array(10)
  let last = 0
  let time = ''
  let counter = 4095
  return now => {
    random(r)
    if (now > last || ++counter > 4095) {
      last = Math.max(now, last + 1)
      counter = ((r[0]! & 7) << 8) + r[1]!
      time = last.toString(16).padStart(12, '0')
      time = time.slice(0, 8) + '-' + time.slice(8) + '-7'
    }
    let tail = ''
    for (let i = 4; i < 10; i++) tail += hex[r[i]!]
    return time + hex[counter >> 8]![1] + hex[counter & 255] + '-' + hex[128 | (r[2]! & 63)] + hex[r[3]!] + '-' + tail
  }
}
