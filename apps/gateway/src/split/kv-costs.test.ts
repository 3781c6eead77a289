import type { LevelCost } from '@deos/codec'
import { modelId, workerId } from '@deos/domain'
import type { StageKv, StageReport } from '@deos/protocol'
import { expect, test } from 'vitest'
import { costsFor } from './kv-costs.ts'

const costs: readonly LevelCost[] = [0, 1, 4].map((level) => ({
  level,
  layers: [0, 1, 2].map((layer) => ({ bytesPerToken: 300 - 60 * level - layer, harm: level / 1e4 })),
}))
const stage = (first: number, end: number, kv: StageKv | null): StageReport => ({
  ...{ worker: workerId(`w${first}`), stage: first, layers: [first, end], model: modelId('m') },
  ...{ kvPagesFree: 1, calibration: null, kv },
  capacity: { kvPages: 1, pageTokens: 16, contextLength: 64, maxBatchTokens: 8 },
})

test('halves, and stages that do not say, cost what the calibration says', () => {
  const halves = { type: 'F16', columns: 256 }
  expect(costsFor(costs, [stage(0, 3, halves), stage(0, 3, null)])).toBe(costs)
})

test('floats without loss travel as they are stored; with loss they are halves first', () => {
  const own = costsFor(costs, [
    stage(0, 2, { type: 'F32', columns: 512 }),
    stage(2, 3, { type: 'F32', columns: 128 }),
  ])
  expect(own[0]!.layers.map(({ bytesPerToken }) => bytesPerToken)).toEqual([1024, 1024, 512])
  expect(own.slice(1)).toEqual(costs.slice(1))
})

test('other types have no levels', () => {
  expect(costsFor(costs, [stage(0, 3, { type: 'Q8_0', columns: 256 })]).map(({ level }) => level)).toEqual([
    0,
  ])
})
