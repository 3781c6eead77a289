import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { readCalibration } from '@deos/codec'
import { modelId, workerId } from '@deos/domain'
import { openModel } from '@deos/engine/weights/open-model'
import type { StageReport } from '@deos/protocol'
import { expect, test } from 'vitest'
import { type KvNeed, KvQuality, type KvQualitySettings } from './kv-quality.ts'

const model = fileURLToPath(new URL('../../../../models/deos-7m', import.meta.url))
const { fingerprint } = await openModel(model, { vocabulary: false })
const calibration = readCalibration(new Uint8Array(readFileSync(`${model}.kv`)), fingerprint)

const report = (worker: string, id: string | null): StageReport => ({
  ...{ worker: workerId(worker), stage: 0, layers: [0, 8], model: modelId(fingerprint), kvPagesFree: 1 },
  capacity: { kvPages: 1, pageTokens: 16, contextLength: 1024, maxBatchTokens: 64 },
  calibration: id,
  kv: { type: 'F16', columns: 2048 },
})
const reports = [report('p', calibration.id), report('d', calibration.id)]
const need = { reports, layers: 8, tokens: 1000, adapter: null, round: 0, refine: true }

const quality = (settings: Partial<KvQualitySettings> = {}) =>
  new KvQuality({
    ...{ mode: 'guarded', calibration, budgetMs: 50, bytesPerSecond: 1000, enhanceMs: 10_000 },
    ...settings,
  })

const exact = Array.from({ length: 8 }, () => 0)

test('without loss unless asked for, and never where anything is in the way', () => {
  const kept = { levels: exact, calibration: calibration.id, lossy: false }
  expect(quality({ mode: 'lossless' }).choose(need)).toMatchObject(kept)
  expect(quality({ calibration: null }).choose(need)).toMatchObject({ ...kept, bytes: 0 })
  expect(quality({ bytesPerSecond: null }).choose(need)).toMatchObject(kept)
  expect(quality().choose({ ...need, adapter: 'a' })).toMatchObject(kept)
  expect(quality().choose({ ...need, layers: 7 })).toMatchObject({ lossy: false })
  expect(quality().choose({ ...need, round: 2 })).toMatchObject(kept)
  expect(quality({ bytesPerSecond: 1e12 }).choose(need)).toMatchObject(kept)
})

test('stages that differ get blocks that all can read, and the reason says who has what', () => {
  const odd = { ...need, reports: [...reports, report('x', 'ffffffffffffffff'), report('y', null)] }
  const { levels, calibration: id, lossy, reason } = quality().choose(odd)
  expect({ levels, id, lossy }).toEqual({ levels: exact, id: null, lossy: false })
  expect(reason).toContain(`p and d have ${calibration.id}, x have ffffffffffffffff, y have none`)
  expect(quality().choose({ ...need, reports: [report('p', null)] }).reason).toContain('no stage has one')
})

test('where links are narrow, levels have little harm, less after each refusal', () => {
  const chosen = quality()
  const first = chosen.choose(need)
  expect(first).toMatchObject({ lossy: true, calibration: calibration.id })
  expect(first.bytes).toBeLessThan((4096 * 1000) / 8)
  const scope = chosen.scope('t')
  chosen.judged(false)
  expect(chosen.scope('t')).not.toBe(scope)
  expect(chosen.scope('t')).not.toBe(chosen.scope('u'))
  const better = chosen.choose({ ...need, round: 1 })
  expect(better.bytes).toBeGreaterThan(first.bytes)
  const next = chosen.choose(need)
  expect(next.bytes).toBeGreaterThan(first.bytes)
  for (let pass = 0; pass < 30; pass += 1) chosen.judged(true)
  expect(chosen.choose(need).bytes).toBe(first.bytes)
})

test('better copies follow only if they are wished for and fit', () => {
  const wide = { bytesPerSecond: 1_000_000 }
  expect(quality(wide).choose({ ...need, tokens: 2_000 })).toMatchObject({ lossy: true, enhanceTo: null })
  const refined = (settings: Partial<KvQualitySettings> = {}, other: Partial<KvNeed> = {}) =>
    quality({ mode: 'refined', ...wide, ...settings }).choose({ ...need, tokens: 2_000, ...other })
  expect(refined()).toMatchObject({ lossy: true, enhanceTo: 1 })
  expect(refined().reason).toMatch(/Better copies at level 1 follow, \d+ kB\./)
  expect(refined({}, { refine: false })).toMatchObject({ lossy: true, enhanceTo: null })
  expect(refined({ enhanceMs: 1 })).toMatchObject({ lossy: true, enhanceTo: null })
  expect(refined({ bytesPerSecond: 1e12 })).toMatchObject({ lossy: false, enhanceTo: null })
})

test('floats without loss are four bytes a value, and other types travel as they are', () => {
  const storedAs = (type: string) =>
    reports.map((each): StageReport => ({ ...each, kv: { type, columns: 2048 } }))
  const wide = quality({ bytesPerSecond: 1e12 })
  expect(wide.choose({ ...need, reports: storedAs('F32') })).toMatchObject({ lossy: false, bytes: 8_192_000 })
  const narrow = quality().choose({ ...need, reports: storedAs('F32') })
  expect(narrow).toMatchObject({ lossy: true, bytes: quality().choose(need).bytes })
  expect(quality().choose({ ...need, reports: storedAs('Q8_0') })).toMatchObject({ lossy: false })
})

test('what links carry is learnt from what was waited for', () => {
  const learning = quality({ bytesPerSecond: null })
  expect(learning.measures).toBe(true)
  const all = learning.choose(need)
  // 1,000 positions computed in 1 s; their 2.9 MB took 4 s.
  learning.measured({ tokens: 1000, bytes: all.bytes, durationMs: 4000, exposedMs: 3000 })
  const chosen = learning.choose(need)
  expect(chosen).toMatchObject({ lossy: true })
  // In 1 s and 50 ms goes a quarter of it.
  expect(chosen.bytes).toBeLessThan((all.bytes * 1050) / 4000)
  // Nobody waits any more: a little more is tried each time.
  for (let at = 0; at < 60; at += 1)
    learning.measured({ tokens: 1000, bytes: chosen.bytes, durationMs: 1000, exposedMs: 0 })
  expect(learning.choose(need)).toMatchObject({ lossy: false })
  // Until it is too much.
  for (let at = 0; at < 10; at += 1)
    learning.measured({ tokens: 1000, bytes: all.bytes, durationMs: 4000, exposedMs: 3000 })
  expect(learning.choose(need)).toMatchObject({ lossy: true })
})
