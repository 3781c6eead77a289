import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkFileName, UnsafeFileNameError } from './file-name.ts'
import { linkModel } from './link-model.ts'
import { BlobWriteError } from './stored-blob.ts'

let root: string
let blob: string
let counter = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'deos-link-'))
  blob = join(root, 'blob')
  await writeFile(blob, 'bytes')
})
afterAll(() => rm(root, { recursive: true, force: true }))
const newFolder = () => join(root, `folder-${counter++}`)

test('a folder comes to hold exactly the files', async () => {
  const folder = newFolder()
  await mkdir(folder)
  await writeFile(join(folder, 'old.gguf'), 'old')
  await linkModel(folder, [
    { name: 'config.json', path: blob },
    { name: 'inner/deep/model.safetensors', path: blob },
  ])
  const names = (await readdir(folder, { recursive: true })).sort()
  expect(names).toEqual(['config.json', 'inner', 'inner/deep', 'inner/deep/model.safetensors'])
  expect((await stat(join(folder, 'config.json'))).ino).toBe((await stat(blob)).ino)
  await linkModel(folder, [{ name: 'config.json', path: blob }])
  await linkModel(folder, [{ name: 'config.json', path: blob }])
  expect(await readdir(folder)).toEqual(['config.json'])
})

test('a link in the way leads nowhere', async () => {
  const folder = newFolder()
  const outside = newFolder()
  await mkdir(folder)
  await mkdir(outside)
  await symlink(outside, join(folder, 'inner'))
  await writeFile(join(outside, 'target'), 'mine')
  await symlink(join(outside, 'target'), join(folder, 'a.gguf'))
  await linkModel(folder, [
    { name: 'inner/b.gguf', path: blob },
    { name: 'a.gguf', path: blob },
  ])
  expect(await readdir(outside)).toEqual(['target'])
  expect(await readFile(join(outside, 'target'), 'utf8')).toBe('mine')
  expect(await readFile(join(folder, 'a.gguf'), 'utf8')).toBe('bytes')
})

test.each([
  '',
  '/etc/passwd',
  '../up',
  'a/../../up',
  'a//b',
  './a',
  'a/.',
  'C:\\x',
  'a\\b',
  'C:x',
  'a:stream',
  'nul',
  'inner/CON.txt',
  'com1.gguf',
  'ends.',
  'ends ',
  ' begins',
  'line\nbreak',
  'nul\0byte',
  'dir\u202Egpj',
  'x'.repeat(201),
  `${'a/'.repeat(9)}b`,
])('%j is no name for a file', (name) => {
  expect(() => checkFileName(name)).toThrow(UnsafeFileNameError)
})

test('no name that is let through leaves the folder', () => {
  const part = fc.oneof(
    fc.constantFrom('..', '.', 'a', 'b.gguf', '', '~', '\\', 'C:'),
    fc.string({ maxLength: 6 }),
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
      const name = parts.join('/')
      try {
        checkFileName(name)
      } catch {
        return
      }
      expect(join('/folder', name).startsWith('/folder/')).toBe(true)
      expect(join('/folder', name)).toBe(`/folder/${name}`)
    }),
  )
})

test.each([[['a.gguf', 'A.gguf']], [['a', 'a/b']], [['a/b', 'A']]])(
  '%j cannot lie beside one another',
  async (names) => {
    const files = names.map((name) => ({ name, path: blob }))
    await expect(linkModel(newFolder(), files)).rejects.toThrow(UnsafeFileNameError)
  },
)

test('says what the disk refuses', async () => {
  const files = [{ name: 'a', path: join(root, 'missing') }]
  await expect(linkModel(newFolder(), files)).rejects.toThrow(BlobWriteError)
})
