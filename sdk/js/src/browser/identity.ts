import type { ConsentState } from '../core/index.js'
import { decoded, load, readCookie, save, writeCookie } from './device.js'
import { uuid4, type Identity, type IdentityKey } from './memory.js'

const keys: IdentityKey[] = ['anonymous_id', 'user_id', 'traits', 'group_id', 'group_traits']

/** An identity that the device keeps where that is allowed: `ms_…` in localStorage, the anonymous id in a cookie, too. */
export interface KeptIdentity extends Identity {
  /** Granted, the device keeps what is known; denied, it is forgotten there and here; pending, the device stays as it is. */
  keep(consent: ConsentState): void
  /** Forgets everything; the next anonymous id is a new one. */
  reset(): void
}

/**
 * Reads the identity that an earlier page has kept, else that of Segment's analytics.js. While consent is pending, the
 * device is read and not written. It follows other tabs until ended.
 */
export function openIdentity(consent: ConsentState, ended?: AbortSignal): KeptIdentity {
  let kept = false
  const known: { [key in IdentityKey]?: string | null } = {}

  const write = (key: IdentityKey): void => {
    const value = known[key] || null
    save('ms_' + key, value)
    if (key === keys[0]) writeCookie('ms_' + key, value)
  }
  const identity: KeptIdentity = {
    get(key) {
      if (key === keys[0] && !known[key]) identity.set(key, uuid4())
      return known[key] || null
    },
    set(key, value) {
      known[key] = value
      if (kept) write(key)
    },
    keep(consent) {
      kept = true
      if (consent === 'granted') keys.forEach(write)
      else if (consent === 'denied') identity.reset()
      kept = consent === 'granted'
    },
    reset() {
      for (const key of keys) identity.set(key, null)
    },
  }

  for (const key of keys) known[key] = (key === keys[0] && readCookie('ms_' + key)) || load('ms_' + key)
  known.anonymous_id = known.anonymous_id || imported('ajs_anonymous_id')
  known.user_id = known.user_id || imported('ajs_user_id')
  identity.keep(consent)

  // Another tab has signed in or out: this one must not go on under the old name.
  addEventListener('storage', e => {
    const key = keys.find(k => 'ms_' + k === e.key)
    if (kept && key) known[key] = e.newValue
  }, { signal: ended! })
  return identity
}

/** Returns what analytics.js has left under name: plain, URL-encoded or JSON-quoted, by version. */
function imported(name: string): string | null {
  for (const raw of [readCookie(name), load(name)]) {
    let text = decoded(raw || '')
    try {
      if (text[0] === '"') text = JSON.parse(text) as string
    } catch {
      // it was plain, and is taken as it stands
    }
    if (text && text !== 'null') return text
  }
  return null
}
