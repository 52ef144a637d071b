import type { Draft, Event } from './types.js'

const IDS = ['userId', 'anonymousId', 'event', 'groupId', 'previousId']
const NEEDS: { [type: string]: string[] } = {
  identify: [],
  track: ['event'],
  page: [],
  screen: [],
  group: ['groupId'],
  alias: ['previousId', 'userId'],
}

/** Says what is wrong with the event, or nothing. */
export function flaw(event: Event): string | undefined {
  const needs = NEEDS[event.type]
  if (!needs) return `type ${event.type} is none of ${Object.keys(NEEDS)}`
  for (const name of IDS) {
    const value = event[name]
    if (value != null && typeof value !== 'string') return `${name} must be a string, not a ${typeof value}`
  }
  for (const name of needs) if (!event[name]) return `${event.type} needs ${name}`
  return event.userId || event.anonymousId ? undefined : 'userId or anonymousId is needed'
}

/** RFC 3339, UTC, milliseconds; throws for what is no time. */
export function rfc3339(time: string | number | Date): string {
  return new Date(time).toISOString()
}

/** The event of a call, before middleware: its own copy down to the members of properties and traits. */
export function complete(draft: Draft, id: string, time: string, context: Event['context']): Event {
  const event: Event = { ...draft, messageId: id, timestamp: time, context }
  if (draft.properties) event.properties = { ...draft.properties }
  if (draft.traits) event.traits = { ...draft.traits }
  return event
}
