import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { BenchUsageError } from '../run-bench.ts'
import { neededLibraries, parseVersion, shareLibraries } from './llama-libraries.ts'

const folder = mkdtempSync(join(tmpdir(), 'deos-bench-llama-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const script = (name: string, text: string) => {
  const path = join(folder, name)
  writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 })
  return path
}

test('the libraries that the engine has too are found by the names wanted, others left alone', () => {
  const ldd = [
    '\tlinux-vdso.so.1 (0x00007fe0)',
    '\tlibllama-server-impl.so => /build/bin/libllama-server-impl.so (0x01)',
    '\tlibllama-common.so.0 => /build/bin/libllama-common.so.0 (0x02)',
    '\tlibllama.so.0 => /build/bin/libllama.so.0 (0x03)',
    '\tlibggml.so.0 => not found',
    '\tlibggml-base.so => /build/bin/libggml-base.so (0x05)',
    '\tlibc.so.6 => /lib/libc.so.6 (0x06)',
  ].join('\n')
  expect(neededLibraries(ldd)).toEqual([
    { soname: 'libllama.so.0', library: 'llama' },
    { soname: 'libggml.so.0', library: 'ggml' },
    { soname: 'libggml-base.so', library: 'ggml-base' },
  ])
  expect(neededLibraries('\tstatically linked')).toEqual([])
})

test.each([
  ['version: 0.4.0-dev (build 1, commit 80fb11a)\nbuilt with GNU', '0.4.0'],
  ['version: 4589 (eb7cf15a)', 'unknown'],
  ['', 'unknown'],
])('the version of %j is %s', (text, version) => {
  expect(parseVersion(text)).toBe(version)
})

test('a server of another version, or without these libraries, keeps its own', () => {
  const links = join(folder, 'links')
  const other = shareLibraries(script('other', 'echo "version: 9.9.9 (build 1)" >&2'), links)
  expect(other).toMatchObject({ env: {}, cwd: null })
  expect(other.note).toContain('its own')
  const scripted = shareLibraries(script('same', 'echo "version: 0.4.0 (build 1)" >&2'), links)
  expect(scripted).toMatchObject({ env: {}, cwd: null })
})

test.each(['missing', 'failing'])('a server that does not run is refused: %s', (name) => {
  script('failing', 'exit 3')
  expect(() => shareLibraries(join(folder, name), join(folder, 'links'))).toThrow(BenchUsageError)
})
