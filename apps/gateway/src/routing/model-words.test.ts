import { mkdtemp, open, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { BlobPieces } from '@deos/blobs'
import { cutBlob } from '@deos/blobs'
import { openModel } from '@deos/engine/weights'
import { expect, onTestFinished, test } from 'vitest'
import { openServedModel } from '../inference/served-model.ts'
import { ScriptedBackend, say } from '../testing/scripted-backend.ts'
import { targetOf } from '../testing/scripted-control-plane.ts'
import { modelWords } from './model-words.ts'

const embedded = fileURLToPath(new URL('../../../../models/deos-7m', import.meta.url))
const backend = new ScriptedBackend((request) => say('', request))

async function bytesOf(path: string, first: number, end: number): Promise<Uint8Array> {
  const file = await open(path)
  try {
    const bytes = Buffer.alloc(end - first)
    await file.read(bytes, 0, bytes.length, first)
    return bytes
  } finally {
    await file.close()
  }
}

test('opens a model’s words from blobs, and fetches no weights', async () => {
  const cacheFolder = await mkdtemp(join(tmpdir(), 'deos-words-'))
  onTestFinished(() => rm(cacheFolder, { recursive: true }))
  const blobs = new Map<string, { readonly path: string; readonly pieces: BlobPieces }>()
  const files = []
  for (const name of await readdir(embedded)) {
    const path = join(embedded, name)
    const pieces = await cutBlob(path, { pieceBytes: 64 * 1024 })
    blobs.set(pieces.digest, { path, pieces })
    files.push({ name, digest: pieces.digest, sizeBytes: pieces.sizeBytes })
  }
  let fetchedBytes = 0
  const client = {
    pieces: async ({ params }: { params: { digest: string } }) => blobs.get(params.digest)!.pieces,
    blob: async ({
      params,
      range,
    }: {
      params: { digest: string }
      range?: { first: number; end: number } | undefined
    }) => {
      const { first, end } = range!
      fetchedBytes += end - first
      const bytes = await bytesOf(blobs.get(params.digest)!.path, first, end)
      return (async function* () {
        yield bytes
      })()
    },
  }
  const { fingerprint } = await openModel(embedded)
  // The mock of the API knows no ranges.
  const openWords = modelWords(client as unknown as Parameters<typeof modelWords>[0], {
    cacheFolder,
    tokenizerThread: null,
    onNote: () => undefined,
  })
  const routed = { ...targetOf().model, name: 'tiny', fingerprint, files } as Parameters<typeof openWords>[0]
  const { signal } = new AbortController()
  const words = await openWords(routed, signal)
  onTestFinished(() => words.stop())
  const whole = await openServedModel({ path: embedded, id: null, format: null, tokenizerThread: null })
  onTestFinished(() => whole.stop())
  const [fetched, local] = [words.withBackend(backend), whole.withBackend(backend)]
  expect(fetched).toMatchObject({ id: 'tiny', fingerprint, contextLength: local.contextLength })
  const text = 'The quick brown fox, café.'
  expect(await fetched.encode(text, 'prompt', signal)).toEqual(await local.encode(text, 'prompt', signal))
  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0)
  expect(fetchedBytes).toBeLessThan(sizeBytes / 4)

  const before = fetchedBytes
  const again = await openWords(routed, signal)
  onTestFinished(() => again.stop())
  expect(fetchedBytes).toBe(before)
})
