import type { CommonOptions, Fields } from '../core/index.js'

export interface SpoolOptions {
  /** Folder of the segment files; made if it is not there. Processes may share it. */
  dir: string
  /** 64 MiB by default; calls beyond are refused as `spool_full`. */
  maxBytes?: number
  /**
   * `interval` (default): written within 100 ms, synced every second. `always`: a call returns when its event is
   * synced, which blocks the thread. `never`: left to the operating system.
   */
  fsync?: 'interval' | 'always' | 'never'
}

export interface Options extends CommonOptions {
  /** Compress bodies from 1 KiB; true by default. */
  gzip?: boolean
  /**
   * `http://[user:password@]host:port`; by default what the environment says (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), and never
   * for this machine itself. `''` goes without one.
   */
  proxy?: string
  /** Keeps events on disk until they have a fate, so that they outlive the process. */
  spool?: SpoolOptions
}

export interface Deadline {
  timeoutMs?: number
}

/** One of the two must be there. */
export type Identity = { userId: string; anonymousId?: string } | { userId?: undefined; anonymousId: string }

export type Common = Identity & {
  context?: Fields
  integrations?: Fields
  /** The call's time by default. */
  timestamp?: Date | string
  /** A UUIDv7 by default; the same in every attempt. */
  messageId?: string
}

export type Identify = Common & { traits?: Fields }
export type Track = Common & { event: string; properties?: Fields }
export type Page = Common & { name?: string; category?: string; properties?: Fields }
export type Screen = Page
export type Group = Common & { groupId: string; traits?: Fields }
export type Alias = Omit<Common, 'userId'> & { userId: string; previousId: string }

/** A call as `send` takes it. */
export type Call =
  | ({ type: 'identify' } & Identify)
  | ({ type: 'track' } & Track)
  | ({ type: 'page' } & Page)
  | ({ type: 'screen' } & Screen)
  | ({ type: 'group' } & Group)
  | ({ type: 'alias' } & Alias)
