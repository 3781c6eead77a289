import { expect, test } from 'vitest'
import { withoutCalibration } from './calibration-file.ts'

test('a calibration is told from what the model is made of', () => {
  const [config, weights, calibration] = ['config.json', 'm.safetensors', 'm.kv'].map((name) => ({ name }))
  expect(withoutCalibration([config!, calibration!, weights!])).toEqual({
    ...{ model: [config, weights], calibration },
  })
  expect(withoutCalibration([config!, weights!])).toEqual({ model: [config, weights], calibration: null })
})
