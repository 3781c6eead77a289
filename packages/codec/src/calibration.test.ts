import { expect, test } from 'vitest'
import type { KvPart } from './basis.ts'
import {
  type Calibration,
  calibratedTools,
  FIRST_STEP_LEVEL,
  levelOf,
  readCalibration,
  writeCalibration,
} from './calibration.ts'
import { type CalibrationContext, CalibrationFitter, partName } from './calibration-fit.ts'
import { cheapestLevels } from './cheapest-levels.ts'
import { BasisMismatchError, CalibrationError, CodecInputError, CorruptBlockError } from './errors.ts'
import { halfValues, toHalf } from './half.ts'
import { decodeKvBlock, encodeKvBlock } from './kv-block.ts'
import type { RotaryOf } from './rotary.ts'

const channels = 8
const parts: readonly KvPart[] = [0, 1].flatMap((layer) => [
  { layer, part: 'k' as const, channels },
  { layer, part: 'v' as const, channels },
])
const rotary: RotaryOf = () => ({
  ...{ headDim: 4, first: 0, pairs: 'halves', frequencies: [1, 0.1], magnitude: 1 },
})

/** Channels that follow two hidden ones, so that there is something to learn. */
function context(seed: number, tokens = 64): CalibrationContext {
  let state = seed
  const noise = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 31 - 1
  }
  const values = new Map(
    parts.map((part) => {
      const halves = new Uint16Array(tokens * channels)
      for (let token = 0; token < tokens; token += 1) {
        const [a, b] = [noise(), noise()]
        for (let at = 0; at < channels; at += 1)
          halves[token * channels + at] = toHalf(a * Math.cos(at) + b * Math.sin(2 * at) + 0.02 * noise())
      }
      return [partName(part), halves]
    }),
  )
  return { tokens, values: (part) => values.get(partName(part))! }
}

const sensitivity = new Map(parts.map((part, at) => [partName(part), 0.5 + at]))

function fitted(seed: number, targets = [0.01, 0.001]): Uint8Array<ArrayBuffer> {
  const fitter = new CalibrationFitter(parts, rotary)
  for (let index = 0; index < 12; index += 1) fitter.fit(context(seed + index))
  fitter.keep(context(seed + 100))
  return fitter.finish({ model: 'a'.repeat(64), modelName: 'small', sensitivity, targets })
}

const bytes = fitted(1)
const calibration = readCalibration(bytes, 'a'.repeat(64))
const place = { firstPosition: 0, tokens: 64 }

function sent(number: number, part: KvPart, by: Calibration, to: Calibration) {
  const level = levelOf(number, by.steps, place)
  const values = context(7).values(part)
  const block = encodeKvBlock(
    { ...place, parts: [{ ...part, values }] },
    level!,
    calibratedTools(by, rotary, part),
  )
  const [back] = decodeKvBlock(block, { ...place, parts: [part] }, calibratedTools(to, rotary, part))
  return { values, back: back!, size: block.length }
}

test('what is written is read, the same each time', () => {
  expect(calibration).toMatchObject({ modelName: 'small', tokens: 12 * 64, sizeBytes: bytes.length })
  expect(calibration.channelModelsId).toBe(calibration.id)
  expect(fitted(1)).toEqual(bytes)
  expect(readCalibration(fitted(2), 'a'.repeat(64)).id).not.toBe(calibration.id)
})

test('steps rise, and what they cost falls as their harm rises to what was asked for', () => {
  const [fine, coarse] = calibration.steps
  expect(fine).toBeLessThan(coarse!)
  const sums = calibration.costs.map(({ level, layers }) => ({
    level,
    bytes: layers.reduce((sum, layer) => sum + layer.bytesPerToken, 0),
    harm: layers.reduce((sum, layer) => sum + layer.harm, 0),
  }))
  expect(sums.map(({ level }) => level)).toEqual([0, 1, 2, 3, 4])
  expect(sums[0]!.harm).toBe(0)
  expect(sums[4]!.bytes).toBeLessThan(sums[3]!.bytes)
  expect(sums[3]!.bytes).toBeLessThan(sums[0]!.bytes)
  expect(sums[3]!.harm).toBeLessThan(0.002)
  expect(sums[4]!.harm).toBeGreaterThan(sums[3]!.harm)
  expect(sums[4]!.harm).toBeLessThan(0.02)
})

test.each([0, 1, 2, FIRST_STEP_LEVEL, FIRST_STEP_LEVEL + 1])('a block of level %i comes back', (number) => {
  for (const part of parts) {
    const { values, back } = sent(number, part, calibration, calibration)
    const error = values.reduce((sum, half, at) => sum + (halfValues[half]! - halfValues[back[at]!]!) ** 2, 0)
    if (number === 0) expect(back).toEqual(values)
    else expect(Math.sqrt(error / values.length)).toBeLessThan(0.15)
    // The first positions are exact where there are steps.
    if (number >= FIRST_STEP_LEVEL)
      expect(back.subarray(0, 4 * channels)).toEqual(values.subarray(0, 4 * channels))
  }
})

test('a peer with another calibration refuses what it cannot read', () => {
  const other = readCalibration(fitted(2), 'a'.repeat(64))
  for (const number of [0, FIRST_STEP_LEVEL])
    expect(() => sent(number, parts[0]!, calibration, other)).toThrow(BasisMismatchError)
})

test('calibrations of other models are refused by name, changed bytes as damaged', () => {
  expect(() => readCalibration(bytes, 'b'.repeat(64))).toThrow(CalibrationError)
  expect(() => readCalibration(bytes, 'b'.repeat(64))).toThrow(
    'is of small (aaaaaaaaaaaa), not of model bbbb',
  )
  for (const at of [0, 20, 200, bytes.length - 1]) {
    const changed = bytes.slice()
    changed[at]! ^= 1
    expect(() => readCalibration(changed, 'a'.repeat(64))).toThrow(CorruptBlockError)
  }
  expect(() => readCalibration(bytes.subarray(0, 100), 'a'.repeat(64))).toThrow(CorruptBlockError)
  const { model, modelName, tokens, steps, costs } = calibration
  const content = { model, modelName, tokens, parts: [], costs }
  expect(() => writeCalibration({ ...content, steps: [2, 1] })).toThrow(CodecInputError)
  expect(() => readCalibration(writeCalibration({ ...content, steps: steps.slice(1) }), model)).toThrow(
    'no level 4',
  )
})

test('numbers beyond the steps stand for nothing', () => {
  expect(levelOf(5, calibration.steps, place)).toBeNull()
  expect(levelOf(3, [], place)).toBeNull()
  expect(levelOf(3, calibration.steps, { firstPosition: 2, tokens: 1 })).toMatchObject({
    exact: { first: 1 },
  })
  expect(levelOf(3, calibration.steps, { firstPosition: 64, tokens: 64 })).toMatchObject({
    exact: { first: 0 },
  })
})

test('levels are exact where that fits, and never more harmful than allowed', () => {
  const { costs } = calibration
  const tokens = 1000
  const ample = cheapestLevels(costs, { tokens, budgetBytes: 1e12, maxHarm: 0.01 })
  expect(ample).toMatchObject({ levels: [0, 0], harm: 0 })
  const tight = cheapestLevels(costs, { tokens, budgetBytes: 0, maxHarm: 0.002 })
  expect(tight.harm).toBeLessThanOrEqual(0.002)
  expect(tight.bytes).toBeLessThan(ample.bytes)
  const middle = cheapestLevels(costs, {
    tokens,
    budgetBytes: (ample.bytes + tight.bytes) / 2,
    maxHarm: 0.002,
  })
  expect(middle.bytes).toBeLessThanOrEqual((ample.bytes + tight.bytes) / 2)
  expect(middle.harm).toBeLessThanOrEqual(tight.harm)
  expect(cheapestLevels(costs, { tokens, budgetBytes: 0, maxHarm: 0 })).toMatchObject({ harm: 0 })
  expect(() => cheapestLevels(costs.slice(1), { tokens, budgetBytes: 0, maxHarm: 1 })).toThrow(
    CodecInputError,
  )
})
