import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ApiClient } from '@deos/api'
import { type BlobSource, fetchModel, PieceStore, withoutCalibration } from '@deos/blobs'
import { type Calibration, readCalibration } from '@deos/codec'
import { describeError } from '@deos/domain'
import { openServedModel } from '../inference/served-model.ts'
import type { OpenWords, RoutedModel } from './model-shelf.ts'

export interface ModelWordsOptions {
  /** Folder for what was fetched; several gateways may share one. */
  readonly cacheFolder: string
  /** The built entry of the tokenizer's thread; `null` tokenizes long texts on the event loop. */
  readonly tokenizerThread: URL | null
  /** Told what is left out. */
  readonly onNote: (text: string) => void
}

/** Bytes of fetched headers kept at most, those of models in use aside. */
const CACHE_LIMIT_BYTES = 8 * 1024 ** 3

/** A folder's name for a model: fingerprints are whatever the control plane says, so they are hashed once more. */
const folderNameOf = ({ fingerprint }: RoutedModel): string =>
  createHash('sha256').update(fingerprint).digest('hex').slice(0, 32)

/** Fetches headers and tokenizers from the control plane, never weights, and opens them. */
export function modelWords(
  client: Pick<ApiClient['gateway'], 'pieces' | 'blob'>,
  { cacheFolder, tokenizerThread, onNote }: ModelWordsOptions,
): OpenWords {
  const source: BlobSource = {
    name: 'the control plane',
    read: (digest, range, signal) => client.blob({ params: { digest }, range, signal }),
  }
  let opening: Promise<PieceStore> | null = null
  const openStore = () => {
    opening ??= PieceStore.open(join(cacheFolder, 'blobs')).catch((error: unknown) => {
      opening = null
      throw error
    })
    return opening
  }
  return async (model, signal) => {
    const [store, { readHeaders }] = await Promise.all([openStore(), import('@deos/engine/weights')])
    await store.evict(CACHE_LIMIT_BYTES)
    const path = await fetchModel({
      store,
      folder: join(cacheFolder, 'models', folderNameOf(model)),
      files: model.files,
      pieces: (digest, stop) => client.pieces({ params: { digest }, signal: stop }),
      sources: [source],
      headersOf: readHeaders,
      rangesOf: null,
      signal,
    })
    const { name: id, fingerprint } = model
    const { calibration } = withoutCalibration(model.files)
    const learnt = calibration && (await readLearnt(join(path, calibration.name), fingerprint, onNote))
    const words = await openServedModel({ path, id, fingerprint, format: null, tokenizerThread })
    return { ...words, calibration: learnt ?? undefined }
  }
}

/** Requests are answered without it, too. */
async function readLearnt(
  path: string,
  fingerprint: string,
  onNote: (text: string) => void,
): Promise<Calibration | null> {
  try {
    return readCalibration(new Uint8Array(await readFile(path)), fingerprint)
  } catch (error) {
    onNote(`KV is handed over exactly: ${describeError(error)}`)
    return null
  }
}
