import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ModelSourceError } from './errors.ts'
import { ModelFolders } from './local-model.ts'

let root: string
let folders: ModelFolders
const at = (...parts: string[]) => join(root, ...parts)

beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'deos-local-')))
  for (const name of ['open/hf', 'open-not', 'elsewhere', 'store']) await mkdir(at(name), { recursive: true })
  for (const name of ['a.gguf', 'hf/config.json', 'hf/tokenizer.json']) await writeFile(at('open', name), 'x')
  await writeFile(at('open-not/b.gguf'), 'x')
  await writeFile(at('elsewhere/secret.gguf'), 'x')
  await writeFile(at('open/weights'), 'x')
  await symlink(at('open/weights'), at('open/hf/model.safetensors'))
  await symlink(at('elsewhere/secret.gguf'), at('open/link.gguf'))
  await symlink(at('open'), at('alias'))
  folders = new ModelFolders([at('open'), at('alias'), at('missing')])
})
afterAll(() => rm(root, { recursive: true, force: true }))

test('files of an open folder, also through links that stay within', async () => {
  expect(await folders.files(at('open/a.gguf'))).toEqual([{ name: 'a.gguf', path: at('open/a.gguf') }])
  expect(await folders.files(at('alias/a.gguf'))).toEqual([{ name: 'a.gguf', path: at('open/a.gguf') }])
  const files = await folders.files(at('open/hf'))
  expect(files.at(-1)).toEqual({ name: 'model.safetensors', path: at('open/weights') })
})

test('what was learnt of a folder lies beside it, or in it', async () => {
  await mkdir(at('open/learnt'))
  for (const name of ['config.json', 'tokenizer.json', 'model.safetensors'])
    await writeFile(at('open/learnt', name), 'x')
  const calibration = async () =>
    (await folders.files(at('open/learnt'))).filter(({ name }) => name.endsWith('.kv'))
  expect(await calibration()).toEqual([])
  await symlink(at('elsewhere/secret.gguf'), at('open/learnt.kv'))
  expect(await calibration()).toEqual([])
  await rm(at('open/learnt.kv'))
  await writeFile(at('open/learnt.kv'), 'x')
  expect(await calibration()).toEqual([{ name: 'learnt.kv', path: at('open/learnt.kv') }])
  await writeFile(at('open/learnt/calibration.kv'), 'x')
  expect(await calibration()).toEqual([{ name: 'calibration.kv', path: at('open/learnt/calibration.kv') }])
})

test.each([
  'elsewhere/secret.gguf',
  'open-not/b.gguf',
  'open/link.gguf',
  'open/../elsewhere/secret.gguf',
  'nowhere',
])('%s is not open', async (path) => {
  await expect(folders.open(at(path))).rejects.toThrow(/does not lie in a folder/)
  await expect(folders.files(at(path))).rejects.toThrow(ModelSourceError)
})

test('a link out of the folder is not followed for any file of a model', async () => {
  await mkdir(at('open/evil'))
  for (const name of ['config.json', 'tokenizer.json']) await writeFile(at('open/evil', name), 'x')
  await symlink(at('elsewhere/secret.gguf'), at('open/evil/model.safetensors'))
  await expect(folders.files(at('open/evil'))).rejects.toThrow(/does not lie in a folder/)
})

test('says what does not exist, within open folders only', async () => {
  await expect(folders.open(at('open/none.gguf'))).rejects.toThrow(/does not exist/)
  await expect(new ModelFolders([]).open(at('open/a.gguf'))).rejects.toThrow(/does not lie/)
})
