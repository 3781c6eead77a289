import { seededRandom } from '@deos/domain'
import { expect, test } from 'vitest'
import { type Candidate, chooseReplica, prefixKey } from './replica-choice.ts'

const random = seededRandom(1)
const candidate = (id: string, load = 0, tokenMs: number | null = null, troubled = false): Candidate => ({
  id,
  load,
  tokenMs,
  troubled,
})
const keys = Array.from({ length: 400 }, (_, index) => prefixKey('t', Int32Array.of(index)))

test('a prompt’s beginning decides, tenants apart', () => {
  const long = Int32Array.from({ length: 100 }, (_, index) => index)
  const other = long.slice()
  other[99] = 7
  expect(prefixKey('t', long)).toBe(prefixKey('t', other))
  other[3] = 7
  expect(prefixKey('t', long)).not.toBe(prefixKey('t', other))
  expect(prefixKey('t', long)).not.toBe(prefixKey('u', long))
})

test('the same beginning goes to the same replica, and beginnings spread evenly', () => {
  const idle = ['a', 'b', 'c', 'd'].map((id) => candidate(id))
  const counts = new Map<string, number>()
  for (const key of keys) {
    const { id } = chooseReplica(idle, key, random)
    expect(chooseReplica([...idle].reverse(), key, random).id).toBe(id)
    counts.set(id, (counts.get(id) ?? 0) + 1)
  }
  for (const count of counts.values()) expect(count).toBeGreaterThan(60)
})

test('when a replica goes, only its prompts move', () => {
  const all = ['a', 'b', 'c', 'd'].map((id) => candidate(id))
  for (const key of keys) {
    const before = chooseReplica(all, key, random).id
    const after = chooseReplica(all.slice(0, 3), key, random).id
    if (before !== 'd') expect(after).toBe(before)
  }
})

test('a replica that is clearly busier, slower or troubled is passed over', () => {
  const homes = keys.filter((key) => chooseReplica([candidate('a'), candidate('b')], key, random).id === 'a')
  for (const key of homes.slice(0, 20)) {
    const choose = (a: Candidate, b: Candidate) => chooseReplica([a, b], key, random).id
    expect(choose(candidate('a', 2), candidate('b', 0))).toBe('a')
    expect(choose(candidate('a', 10), candidate('b', 0))).toBe('b')
    expect(choose(candidate('a', 10), candidate('b', 9))).toBe('a')
    expect(choose(candidate('a', 4, 50), candidate('b', 4, 10))).toBe('b')
    expect(choose(candidate('a', 4, null, true), candidate('b', 90))).toBe('b')
  }
})

test('of many, the less busy of two is taken', () => {
  const many = Array.from({ length: 50 }, (_, index) => candidate(`r${index}`, index === 7 ? 0 : 100))
  const chosen = keys.map((key) => chooseReplica(many, key, random).id)
  expect(new Set(chosen).size).toBeGreaterThan(20)
})
