import { expect, test } from 'vitest'
import { needsRenewal, renewBasis, residualShare } from './basis-update.ts'
import { CodecInputError } from './errors.ts'
import { fitBasis } from './fit-basis.ts'
import { GramAccumulator } from './gram.ts'

const CHANNELS = 12

/** Rows along three directions, which an angle turns, with a little of everything else. */
function rowsOf(angle: number, seed: number): Float32Array {
  let state = seed
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 31 - 1
  }
  return Float32Array.from({ length: 300 * CHANNELS }).map((_, index, all) => {
    if (index % CHANNELS === 0) {
      const hidden = [next(), next(), next()]
      for (let c = 0; c < CHANNELS; c += 1)
        all[index + c] = hidden.reduce(
          (sum, h, d) => sum + h * Math.sin((d + 1) * (c + angle)),
          0.02 * next(),
        )
    }
    return all[index]!
  })
}

function gramOf(rows: Float32Array): GramAccumulator {
  const gram = new GramAccumulator(CHANNELS)
  gram.add(rows)
  return gram
}

function fitted(referenceChannels = 0) {
  const rows = rowsOf(0, 1)
  const channels = CHANNELS - referenceChannels
  const sample = {
    rows: rows.subarray(0, 10 * channels),
    reference: referenceChannels > 0 ? rows.subarray(0, 10 * referenceChannels) : null,
  }
  const parts = [{ layer: 0, part: 'k' as const, channels, weight: 2 }]
  return fitBasis({
    parts,
    gram: gramOf(rows),
    referenceChannels,
    sample,
    smallestDeviation: 1e-4,
    version: 3,
  })
}

test('a step towards what is seen now lowers what the leading components leave out', () => {
  const { basis } = fitted()
  const drifted = gramOf(rowsOf(0.6, 7))
  const before = residualShare(basis, gramOf(rowsOf(0, 1)), 3)
  const drift = residualShare(basis, drifted, 3)
  expect(needsRenewal(before, drift)).toBe(true)
  const renewed = renewBasis(basis, drifted)
  expect(residualShare(renewed.basis, drifted, 3)).toBeLessThan(drift / 4)
  expect(renewed.basis.version).toBe(4)
  expect(renewed.basis.id).not.toBe(basis.id)
  expect(renewed.bytes.length).toBeGreaterThan(2 * CHANNELS * renewed.basis.rank)
  expect(needsRenewal(before, before)).toBe(false)
})

test('old rows count for less after a decay', () => {
  const gram = gramOf(rowsOf(0, 1))
  gram.decay(0.5)
  expect(gram.rows).toBe(150)
  gram.add(rowsOf(0, 2))
  expect(gram.rows).toBe(450)
})

test('a basis with a reference and foreign extents are refused', () => {
  expect(() => renewBasis(fitted(4).basis, gramOf(rowsOf(0, 1)))).toThrow(CodecInputError)
  expect(() => residualShare(fitted().basis, new GramAccumulator(3), 1)).toThrow(CodecInputError)
  expect(() => gramOf(rowsOf(0, 1)).add(Float32Array.from({ length: CHANNELS }, () => Number.NaN))).toThrow(
    /finite/,
  )
})
