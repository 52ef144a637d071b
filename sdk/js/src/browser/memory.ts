/** What is known of the person at this browser. Traits are JSON. */
export type IdentityKey = 'anonymous_id' | 'user_id' | 'traits' | 'group_id' | 'group_traits'

/** Who the person at this browser is. */
export interface Identity {
  /** Returns a value, or null. The anonymous id is made on first use. */
  get(key: IdentityKey): string | null
  /** Sets a value, or removes it for null. */
  set(key: IdentityKey, value: string | null): void
}

/** An identity that lives as long as the page. */
export function memory(): Identity {
  const known: { [key in IdentityKey]?: string | null } = {}
  return {
    get: key => known[key] || (key === 'anonymous_id' ? (known[key] = uuid4()) : null),
    set: (key, value) => {
      known[key] = value
    },
  }
}

/** Returns a random UUID; crypto.randomUUID is missing on pages without https. */
export function uuid4(): string {
  const random = crypto.getRandomValues(new Uint8Array(36))
  return '10000000-1000-4000-8000-100000000000'.replace(/[018]/g, (c, i: number) => (+c ^ (random[i]! & (15 >> (+c / 4)))).toString(16))
}
