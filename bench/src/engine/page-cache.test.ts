import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { forgetCachedFile } from './page-cache.ts'

const folder = mkdtempSync(join(tmpdir(), 'deos-page-cache-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('a forgotten file is read again as it was written', () => {
  const path = join(folder, 'file')
  const data = Buffer.alloc(100_000, 'weights')
  writeFileSync(path, data)
  forgetCachedFile(path)
  expect(readFileSync(path).equals(data)).toBe(true)
})

test.runIf(process.platform === 'linux')('a file that is not there is an error', () => {
  expect(() => forgetCachedFile(join(folder, 'none'))).toThrow('ENOENT')
})
