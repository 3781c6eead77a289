import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { readCalibration } from '@deos/codec'
import { DomainError } from '@deos/domain'
import { openModel } from '@deos/engine/weights'
import { afterAll, expect, test } from 'vitest'
import { Interrupts } from '../interrupts.ts'
import { Output } from '../output.ts'
import { packageRoot } from '../package-root.ts'
import { calibrate } from './calibrate.ts'

const folder = mkdtempSync(join(tmpdir(), 'deos-calibrate-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const quiet = () => new Output(true, new PassThrough(), new PassThrough())

const small = join(packageRoot, 'models', 'deos-1m')
const output = join(folder, 'small.kv')
const interrupts = new Interrupts()
afterAll(() => interrupts.dispose())
const options = { text: null, output, threads: 1, tokens: 2_500 }

test('a calibration is written, of this model and no other', async () => {
  await calibrate(small, options, quiet(), interrupts)
  expect(readdirSync(folder)).toEqual(['small.kv'])
  const { fingerprint } = await openModel(small)
  const bytes = new Uint8Array(readFileSync(output))
  const calibration = readCalibration(bytes, fingerprint)
  expect(calibration.steps).toHaveLength(4)
  // K and V of 2 layers with 64 channels, in halves.
  const [exact, , , finest] = calibration.costs.map(({ layers }) =>
    layers.reduce((sum, { bytesPerToken }) => sum + bytesPerToken, 0),
  )
  expect(exact).toBeLessThan(512 / 1.2)
  expect(finest).toBeLessThan(512 / 3)
  expect(() => readCalibration(bytes, 'f'.repeat(64))).toThrow('not of model ffffffffffff')
})

test('a text too short is refused, and nothing is written', async () => {
  const text = join(folder, 'short.txt')
  writeFileSync(text, 'A few words.')
  const short = { ...options, text, output: join(folder, 'none.kv') }
  await expect(calibrate(small, short, quiet(), interrupts)).rejects.toThrow('too short')
  expect(readdirSync(folder).sort()).toEqual(['short.txt', 'small.kv'])
})

test.each([
  ['a text that is not there', { text: join(folder, 'nowhere.txt') }, 'nowhere.txt cannot be read: '],
  ['a folder as text', { text: folder }, 'cannot be read: '],
  ['a folder that is not there', { output: join(folder, 'nowhere', 'a.kv') }, 'a.kv cannot be written: '],
  ['a folder as output', { output: folder }, 'is a folder'],
])('%s is named before anything is computed', async (_, wrong, message) => {
  const before = readdirSync(folder)
  const attempt = calibrate(small, { ...options, ...wrong }, quiet(), interrupts)
  await expect(attempt).rejects.toSatisfy(
    (error) => error instanceof DomainError && error.message.includes(message) && error.hint !== '',
  )
  expect(readdirSync(folder)).toEqual(before)
})
