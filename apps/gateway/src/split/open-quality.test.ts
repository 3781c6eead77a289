import { fileURLToPath } from 'node:url'
import { CalibrationError } from '@deos/codec'
import { expect, test } from 'vitest'
import { openQuality } from './open-quality.ts'

const settings = { kvQuality: 'guarded', kvExposedMs: 50, kvGoodputBytes: 0, kvEnhanceMs: 10_000 } as const

test.each([
  ['is not there', '/nowhere/a.kv', 'no such file'],
  ['is something else', fileURLToPath(import.meta.url), 'not a calibration'],
])('a calibration that %s is named, with what to do', (_, kvCalibration, problem) => {
  let thrown: unknown = null
  try {
    openQuality({ ...settings, kvCalibration }, 'f'.repeat(64))
  } catch (error) {
    thrown = error
  }
  expect(thrown).toBeInstanceOf(CalibrationError)
  expect(thrown).toMatchObject({
    message: expect.stringMatching(new RegExp(`${kvCalibration}.*${problem}`)),
    hint: expect.stringContaining('deos model calibrate'),
  })
})
