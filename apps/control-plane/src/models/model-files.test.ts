import { UnsafeFileNameError } from '@deos/blobs'
import { expect, test } from 'vitest'
import { ModelSourceError } from './errors.ts'
import { filesOfModel } from './model-files.ts'

const index = 'model.safetensors.index.json'
const offered = (names: readonly string[], map: unknown = {}) => ({
  names,
  read: async () => JSON.stringify({ weight_map: map }),
})
const beside = ['config.json', 'tokenizer.json']

test.each<[string, readonly string[], string | null, readonly string[]]>([
  ['the file that is named', ['a.gguf', 'b.gguf', 'q4/c.gguf'], 'q4/c.gguf', ['q4/c.gguf']],
  [
    'all parts of a divided file',
    ['x-00001-of-00002.gguf', 'x-00002-of-00002.gguf', 'y.gguf'],
    'x-00002-of-00002.gguf',
    ['x-00001-of-00002.gguf', 'x-00002-of-00002.gguf'],
  ],
  ['the only GGUF file', ['README.md', 'a.gguf'], null, ['a.gguf']],
  [
    'safetensors before GGUF, without what does not belong',
    [...beside, 'model.safetensors', 'a.gguf', 'pytorch_model.bin', 'run.py', 'chat_template.jinja'],
    null,
    [...beside, 'chat_template.jinja', 'model.safetensors'],
  ],
  ['what was learnt of a file', ['q/a.gguf', 'q/a.kv', 'q/b.kv', 'b.kv'], 'q/a.gguf', ['q/a.gguf', 'q/a.kv']],
  [
    'what was learnt of a divided file',
    ['x-00001-of-00001.gguf', 'x.kv'],
    null,
    ['x-00001-of-00001.gguf', 'x.kv'],
  ],
  [
    'what was learnt of a folder',
    [...beside, 'other.kv', 'calibration.kv', 'model.safetensors'],
    null,
    [...beside, 'model.safetensors', 'calibration.kv'],
  ],
])('takes %s', async (_, names, wanted, expected) => {
  expect(await filesOfModel(offered(names), wanted)).toEqual(expected)
})

test('takes the shards that the index names, and no other safetensors', async () => {
  const names = [
    ...beside,
    index,
    'a.safetensors',
    'b.safetensors',
    'consolidated.safetensors',
    'model.safetensors',
  ]
  const map = { one: 'b.safetensors', two: 'a.safetensors', three: 'b.safetensors' }
  expect(await filesOfModel(offered(names, map), null)).toEqual([
    ...beside,
    index,
    'a.safetensors',
    'b.safetensors',
  ])
})

test.each<[string, readonly string[], string | null, RegExp]>([
  ['pickles', ['config.json', 'pytorch_model.bin'], null, /pickles, such as pytorch_model.bin/],
  ['a pickle that is named', ['pytorch_model.bin'], 'pytorch_model.bin', /not a GGUF file/],
  ['nothing', ['README.md'], null, /no weights among 1 files/],
  ['several models', ['a.gguf', 'b.gguf'], null, /2 models in GGUF files: a.gguf, b.gguf/],
  ['a file that is not there', ['a.gguf'], 'b.gguf', /no b.gguf/],
  ['a part that is missing', ['x-00001-of-00002.gguf'], null, /x-00002-of-00002.gguf is missing/],
  ['a folder without tokenizer', ['config.json', 'model.safetensors'], null, /no tokenizer.json/],
])('refuses %s', async (_, names, wanted, message) => {
  await expect(filesOfModel(offered(names), wanted)).rejects.toThrow(message)
  await expect(filesOfModel(offered(names), wanted)).rejects.toThrow(ModelSourceError)
})

test.each([[{ a: '../x.safetensors' }], [{ a: 'x.bin' }], [{ a: 1 }], [{}], [null]])(
  'refuses an index with %j',
  async (map) => {
    await expect(filesOfModel(offered([...beside, index], map), null)).rejects.toThrow(/weight_map/)
  },
)

test('refuses shards that the index names and nobody has', async () => {
  const given = offered([...beside, index], { a: 'x.safetensors' })
  await expect(filesOfModel(given, null)).rejects.toThrow(/no x.safetensors/)
})

test('refuses names that are not safe', async () => {
  await expect(filesOfModel(offered(['../up.gguf']), '../up.gguf')).rejects.toThrow(UnsafeFileNameError)
})
