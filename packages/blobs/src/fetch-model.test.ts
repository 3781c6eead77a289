import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type BlobPieces, BlobPiecesError } from './blob-pieces.ts'
import { type FetchModelOptions, type FetchProgress, fetchModel } from './fetch-model.ts'
import { UnsafeFileNameError } from './file-name.ts'
import { PieceStore } from './piece-store.ts'

let root: string
let counter = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'deos-fetch-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

const sha = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`
const contents: Readonly<Record<string, Buffer>> = {
  'config.json': Buffer.from('{"a":1}'),
  'weights.bin': Buffer.from(Array.from({ length: 100 }, (_, index) => index)),
}
const pieceBytes = 10
const blobs = new Map<string, { bytes: Buffer; blob: BlobPieces }>()
for (const bytes of Object.values(contents)) {
  const pieces = []
  for (let at = 0; at < bytes.length; at += pieceBytes) pieces.push(sha(bytes.subarray(at, at + pieceBytes)))
  blobs.set(sha(bytes), { bytes, blob: { digest: sha(bytes), sizeBytes: bytes.length, pieceBytes, pieces } })
}
const files = Object.entries(contents).map(([name, bytes]) => ({
  name,
  digest: sha(bytes),
  sizeBytes: bytes.length,
}))

async function options(rest: Partial<FetchModelOptions> = {}): Promise<FetchModelOptions> {
  return {
    store: await PieceStore.open(join(root, `store-${counter}`)),
    folder: join(root, `model-${counter++}`),
    files,
    pieces: async (digest) => blobs.get(digest)!.blob,
    sources: [
      {
        name: 'origin',
        read: async (digest, { first, end }) =>
          (async function* () {
            yield blobs.get(digest)!.bytes.subarray(first, end)
          })(),
      },
    ],
    async headersOf(paths, need) {
      for (const path of paths) await need(path, { first: 0, end: basename(path) === 'config.json' ? 7 : 12 })
    },
    rangesOf: null,
    ...rest,
  }
}

test('only headers, then more of the same', async () => {
  const progress: FetchProgress[] = []
  const given = await options({ onProgress: (each) => progress.push(each) })
  const folder = await fetchModel(given)
  expect((await readdir(folder)).sort()).toEqual(['config.json', 'weights.bin'])
  const begun = Buffer.alloc(100)
  contents['weights.bin']!.copy(begun, 0, 0, 20)
  expect(await readFile(join(folder, 'weights.bin'))).toEqual(begun)
  expect(progress.at(-1)).toEqual({ doneBytes: 27, totalBytes: 27 })
  const rangesOf = async (path: string) => [
    { file: join(path, 'weights.bin'), ranges: [{ first: 55, end: 61 }] },
  ]
  await fetchModel({ ...given, rangesOf })
  contents['weights.bin']!.copy(begun, 50, 50, 70)
  expect(await readFile(join(folder, 'weights.bin'))).toEqual(begun)
  expect(progress.at(-1)).toEqual({ doneBytes: 47, totalBytes: 47 })
})

test('names that lead out and lists of other blobs are refused', async () => {
  const evil = [{ ...files[0]!, name: '../config.json' }]
  await expect(fetchModel(await options({ files: evil }))).rejects.toThrow(UnsafeFileNameError)
  const other = await options({ pieces: async () => blobs.get(files[0]!.digest)!.blob })
  await expect(fetchModel(other)).rejects.toThrow(BlobPiecesError)
})

test('stops when aborted', async () => {
  const given = await options({ signal: AbortSignal.abort(new Error('no longer wanted')) })
  await expect(fetchModel(given)).rejects.toThrow('no longer wanted')
})
