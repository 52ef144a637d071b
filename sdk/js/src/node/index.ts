import { Client, type Replacements } from './client.js'
import type { Options } from './types.js'

export type { Client }
export type * from './types.js'
export type { CommonOptions, ConsentState, Drained, Event, EventType, Fate, Fields, Middleware, Result, Stats } from '../core/index.js'

/** Makes a client. Throws a TypeError for options that can never work; nothing it returns throws. */
export function createClient(options: Options): Client
/** @internal */
export function createClient(options: Options, seams: Replacements): Client
export function createClient(options: Options, seams?: Replacements): Client {
  return new Client(options, seams)
}
