import { expect, test } from 'vitest'
import { type MachinePlan, placeMachines } from './machine-plan.ts'
import { parsePlaces } from './wan-places.ts'

const site = {
  name: 'ohio',
  region: 'us-east-2',
  provider: 'aws',
  host: '127.77.1.1',
  proxy: 'http://127.0.0.1:1',
}
const other = { ...site, name: 'oregon', host: '127.77.2.1' }
const machine = (name: string): MachinePlan => ({ name, speed: 1, memoryBytes: 1, place: null })

test('machines stand at the sites of a network in turn, and their names say where', () => {
  const places = parsePlaces({ event: 'ready', sites: [site, other] })
  const placed = placeMachines(['a', 'b', 'c'].map(machine), places)
  expect(placed.map(({ name }) => name)).toEqual(['ohio-a', 'oregon-b', 'ohio-c'])
  expect(placed[1]).toMatchObject({
    speed: 1,
    place: { site: 'oregon', host: '127.77.2.1', region: 'us-east-2' },
  })
})

test('without a network machines stay as they are', () => {
  expect(placeMachines([machine('a')], [])).toEqual([machine('a')])
})

test.each([
  [{ event: 'ready' }],
  [{ sites: [] }],
  [{ sites: [{ ...site, proxy: 3 }] }],
  [{ sites: ['ohio'] }],
])('%j names no sites', (line) => {
  expect(() => parsePlaces(line)).toThrow('names no sites')
})
