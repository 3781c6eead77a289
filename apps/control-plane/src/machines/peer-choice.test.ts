import { machineId } from '@deos/domain'
import { expect, test } from 'vitest'
import { choosePeers } from './peer-choice.ts'

const hourMs = 60 * 60_000
const nowMs = 100 * hourMs
const peer = (id: string, region: string, ageMs: number | null) => ({
  machine: machineId(id),
  location: { region, provider: 'p' },
  measuredAtMs: ageMs === null ? null : nowMs - ageMs,
})
const chosen = (peers: readonly ReturnType<typeof peer>[], most: number) =>
  choosePeers(peers, nowMs, most).map(({ machine }) => machine)

test('links that were measured within the hour are left alone', () => {
  expect(chosen([peer('a', 'eu', hourMs), peer('b', 'eu', hourMs + 1)], 8)).toEqual(['b'])
})

test('links never measured come before old ones, and older before newer', () => {
  const peers = [peer('a', 'eu', 2 * hourMs), peer('b', 'eu', 3 * hourMs), peer('c', 'eu', null)]
  expect(chosen(peers, 8)).toEqual(['c', 'b', 'a'])
})

test('regions take turns', () => {
  const many = Array.from({ length: 20 }, (_, n) => peer(`a${10 + n}`, 'eu', null))
  const few = [peer('b1', 'us', null), peer('b2', 'us', null), peer('c1', 'ap', null)]
  expect(chosen([...many, ...few], 8)).toEqual(['a10', 'b1', 'c1', 'a11', 'b2', 'a12', 'a13', 'a14'])
})
