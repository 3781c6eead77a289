import { machineId } from '@deos/domain'
import { expect, test } from 'vitest'
import { choosePeers } from './peer-choice.ts'

const hourMs = 60 * 60_000
const nowMs = 100 * hourMs
/** Region, and how long ago the link was measured. */
type Peers = Readonly<Record<string, readonly [region: string, ageMs: number | null]>>

function chosen(peers: Peers, most: number, { self = 'me', mostKept = 64 } = {}): readonly string[] {
  const possible = Object.entries(peers)
    .map(([id, [region]]) => ({ machine: machineId(id), region }))
    .sort((a, b) => (a.machine < b.machine ? -1 : 1))
  const measuredAtMs = (to: string) => {
    const ageMs = peers[to]![1]
    return ageMs === null ? null : nowMs - ageMs
  }
  const wish = { self: machineId(self), most, mostKept, nowMs }
  return choosePeers(possible, { measuredAtMs }, wish).map(({ machine }) => machine)
}

const many = (count: number, region: string, prefix: string): Peers =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`${prefix}${10 + n}`, [region, null] as const]))

test('links that were measured within the hour are left alone', () => {
  expect(chosen({ a: ['eu', hourMs], b: ['eu', hourMs + 1] }, 8)).toEqual(['b'])
})

test('links never measured come before old ones, and older before newer', () => {
  expect(chosen({ a: ['eu', 2 * hourMs], b: ['eu', 3 * hourMs], c: ['eu', null] }, 8)).toEqual([
    'c',
    'b',
    'a',
  ])
})

test('regions take turns', () => {
  const peers = { ...many(20, 'eu', 'a'), b1: ['us', null], b2: ['us', null], c1: ['ap', null] } as const
  expect(chosen(peers, 8)).toEqual(['a10', 'b1', 'c1', 'a11', 'b2', 'a12', 'a13', 'a14'])
})

test('regions of which nothing is known come first, however many there are', () => {
  const known = { a1: ['eu', 0], a2: ['eu', null], b1: ['us', 0], b2: ['us', null] } as const
  expect(chosen({ ...known, c1: ['ap', null], d1: ['sa', null] }, 2)).toEqual(['c1', 'd1'])
})

test('each machine begins behind itself, and never chooses itself', () => {
  const peers = many(6, 'eu', 'a')
  expect(chosen(peers, 3, { self: 'a12' })).toEqual(['a13', 'a14', 'a15'])
  expect(chosen(peers, 3, { self: 'a14' })).toEqual(['a15', 'a10', 'a11'])
  expect(chosen(peers, 9, { self: 'a11' })).toEqual(['a12', 'a13', 'a14', 'a15', 'a10'])
})

test('a machine has so many links measured and no more; those that are old are renewed', () => {
  const fresh = { a1: ['eu', 0], a2: ['eu', 0], a3: ['eu', 0] } as const
  expect(chosen({ ...fresh, b1: ['us', null], b2: ['us', null] }, 8, { mostKept: 4 })).toEqual(['b1'])
  expect(chosen({ ...fresh, b1: ['us', null] }, 8, { mostKept: 3 })).toEqual([])
  expect(chosen({ ...fresh, b1: ['us', 2 * hourMs] }, 8, { mostKept: 4 })).toEqual(['b1'])
})
