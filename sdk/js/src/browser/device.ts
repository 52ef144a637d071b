// What the device keeps for the site: cookies and localStorage. Either may be blocked, full or absent, and then every
// function here does nothing and says so by what it returns.

/** Returns what localStorage holds under key, or null. */
export function load(key: string): string | null {
  try {
    return localStorage.getItem(key)
  } catch {
    return null; // reading the property itself throws where storage is blocked
  }
}

/** Stores value under key, or removes the key for null. Returns whether that worked. */
export function save(key: string, value: string | null): boolean {
  try {
    if (value === null) localStorage.removeItem(key)
    else localStorage.setItem(key, value)
    return true
  } catch {
    return false
  }
}

/** Returns the text of a cookie, or null. */
export function readCookie(name: string): string | null {
  try {
    const hit = document.cookie.split('; ').find(c => c.startsWith(name + '='))
    return hit ? decoded(hit.slice(name.length + 1)) : null
  } catch {
    return null; // a sandboxed frame has no cookies to read
  }
}

/** Undoes encodeURIComponent; what is not encoded stays as it is. */
export function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

let domain: string | undefined

/** Sets a cookie for a year on the widest domain that the browser takes, or removes it for null. */
export function writeCookie(name: string, value: string | null): void {
  try {
    if (domain === undefined) domain = widestDomain(location.hostname)
    setCookie(name, encodeURIComponent(value || ''), value === null ? 0 : 31536000, domain)
  } catch {
    // the same frame; localStorage or memory has to do
  }
}

/**
 * Returns the shortest suffix of host for which the browser takes a cookie: it refuses public suffixes, so that
 * shop.example.co.uk gives example.co.uk. Addresses and single names give "", a cookie of the host alone.
 */
function widestDomain(host: string): string {
  const labels = host.split('.')
  if (/^[\d.]+$|:/.test(host)) return ''
  for (let i = labels.length - 2; i >= 0; i--) {
    const candidate = labels.slice(i).join('.')
    setCookie('ms_probe', '1', 9, candidate)
    const taken = readCookie('ms_probe')
    setCookie('ms_probe', '', 0, candidate)
    if (taken) return candidate
  }
  return ''
}

function setCookie(name: string, value: string, seconds: number, on: string): void {
  document.cookie =
    `${name}=${value};path=/;max-age=${seconds};SameSite=Lax` +
    (on && ';domain=' + on) +
    (location.protocol === 'https:' ? ';Secure' : '')
}
