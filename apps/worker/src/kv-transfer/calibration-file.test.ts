import { fileURLToPath } from 'node:url'
import { CalibrationError } from '@deos/codec'
import { expect, test } from 'vitest'
import { loadCalibration } from './calibration-file.ts'

const model = 'f'.repeat(64)
const embedded = fileURLToPath(new URL('../../../../models/deos-7m.kv', import.meta.url))
const noCalibration = fileURLToPath(import.meta.url)

test.each([
  ['is not there', '/nowhere/a.kv', 'no such file'],
  ['is something else', noCalibration, 'not a calibration'],
  ['is of another model', embedded, 'not of model ffffffffffff'],
])('a file that %s is named, with what to do', async (_, path, problem) => {
  await expect(loadCalibration(path, model)).rejects.toSatisfy(
    (error) =>
      error instanceof CalibrationError &&
      error.message.includes(path) &&
      error.message.includes(problem) &&
      error.hint.includes('deos model calibrate'),
  )
})
