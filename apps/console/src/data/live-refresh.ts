import type { Event } from './types.ts'

/** Which data an event makes old, by the first part of its type. */
const groups: Readonly<Record<string, readonly string[]>> = {
  machine: ['machines', 'status'],
  'join-token': ['join-tokens'],
  model: ['models'],
  deployment: ['deployments', 'status', 'decisions'],
  replica: ['deployments', 'machines', 'decisions'],
  stage: ['deployments', 'machines'],
  key: ['keys'],
  member: ['members'],
  invitation: ['invitations'],
  project: ['projects'],
  alias: ['aliases'],
  budget: ['keys', 'projects'],
  ledger: ['ledger'],
  settings: ['settings'],
}

export const groupsChangedBy = ({ type }: Pick<Event, 'type'>): readonly string[] =>
  groups[type.split('.')[0]!] ?? []
