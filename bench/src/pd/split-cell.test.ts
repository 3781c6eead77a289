import { parseWanProfile } from '@deos/wan'
import { expect, test } from 'vitest'
import { allCells, connectionRate, exposedBoundMs, nameOfCell, profileOf, quickCells } from './split-cell.ts'

test('every combination is measured once, those of quick runs among them, as profiles that the emulator takes', () => {
  expect(new Set(allCells.map(nameOfCell)).size).toBe(18)
  for (const cell of quickCells) expect(allCells).toContainEqual(cell)
  for (const cell of allCells) expect(() => parseWanProfile(profileOf(cell), 'the bench')).not.toThrow()
})

test('what may be exposed is a layer and a block on their way', () => {
  // 10 Mbit/s are 1,250 bytes a millisecond: 5 + 20 ms for two blocks, 5 + 10 for one.
  expect(exposedBoundMs({ mbps: 10, rttMs: 10, loss: 0 }, 12_500, 2)).toBeCloseTo(40)
})

test('connections share a way without loss, and each has its own limit with it', () => {
  expect(connectionRate({ mbps: 10, rttMs: 200, loss: 0 }, 4)).toBe(312_500)
  // Mathis et al.: sqrt(1.5 / 0.01) segments of 1,448 bytes in 0.2 s.
  expect(connectionRate({ mbps: 1_000, rttMs: 200, loss: 0.01 }, 4)).toBeCloseTo(
    (Math.sqrt(150) * 1_448) / 0.2,
  )
})
