import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { portkeyPackage, portkeyVersion, whyNoPortkey } from './portkey.ts'

const folder = mkdtempSync(join(tmpdir(), 'deos-bench-'))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function install(version: string): void {
  const installed = join(folder, 'node_modules', portkeyPackage)
  mkdirSync(installed, { recursive: true })
  writeFileSync(join(installed, 'package.json'), JSON.stringify({ version }))
}

test('a peer of the right version is taken', () => {
  install(portkeyVersion)
  expect(whyNoPortkey(folder)).toBeNull()
})

test('a peer that is missing or of another version is left out, with the command that installs it', () => {
  expect(whyNoPortkey(folder)).toContain(`npm i --prefix ${folder} ${portkeyPackage}@${portkeyVersion}`)
  install('1.0.0')
  expect(whyNoPortkey(folder)).toContain('is 1.0.0, not')
})
