import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type BlobSource,
  type FetchModelOptions,
  fetchModel,
  type PieceStore,
  withoutCalibration,
} from '@deos/blobs'
import { openModel, readHeaders, stageRanges } from '@deos/engine/weights'
import type { ApiClient } from '@deos/sdk'
import type { HttpProxy } from '@deos/transport'
import { PeerBlobs } from '../peers/peer-blobs.ts'
import type { StageAssignment } from './stage-assignment.ts'

export interface ModelStoreOptions {
  /** Of this machine alone: one folder for each model. */
  readonly folder: string
  readonly cacheLimitBytes: number
  /** Through which other machines are dialled. */
  readonly proxy: HttpProxy | null
}

/** What of a model lies here now. */
export interface FetchedModel {
  /** Of a folder that can be opened with the assignment's fingerprint. */
  readonly path: string
  /** Of the file that was learnt of its KV; `null` if there is none. */
  readonly calibration: string | null
}

/** The bytes of models that stages of this machine need, fetched from other machines or the control plane. */
export class ModelStore {
  /** What is being done with each model's folder, one after another. */
  readonly #busy = new Map<string, Promise<unknown>>()
  #wanted: ReadonlySet<string> = new Set()

  /** @param client - of the membership of now; throws if there is none */
  constructor(
    private readonly options: ModelStoreOptions,
    private readonly store: PieceStore,
    private readonly client: () => ApiClient,
  ) {}

  /**
   * @param onProgress - the share of its bytes that is there
   * @throws what `fetchModel` throws; the signal's reason
   */
  fetch(
    assignment: StageAssignment,
    onProgress: (fraction: number) => void,
    signal: AbortSignal,
  ): Promise<FetchedModel> {
    const { model, layers, position, stages, sources } = assignment
    const { fingerprint } = model
    const peers = sources.map(
      ({ machineId, ...access }) => new PeerBlobs(machineId, { ...access, proxy: this.options.proxy }),
    )
    const controlPlane: BlobSource = {
      name: 'the control plane',
      read: (digest, range, signal) => this.client().worker.blob({ params: { digest }, range, signal }),
    }
    const { model: files, calibration } = withoutCalibration(model.files)
    const from: Pick<FetchModelOptions, 'store' | 'pieces' | 'sources' | 'headersOf' | 'signal'> = {
      store: this.store,
      pieces: (digest, signal) => this.client().worker.pieces({ params: { digest }, signal }),
      sources: [...peers, controlPlane],
      headersOf: readHeaders,
      signal,
    }
    return this.#inTurn(fingerprint, async () => {
      try {
        const path = await fetchModel({
          ...from,
          folder: this.#folderOf(fingerprint),
          files,
          rangesOf: async (path) =>
            stageRanges(await openModel(path, { fingerprint, vocabulary: false }), {
              layers,
              embedding: position === 0,
              head: position === stages - 1,
            }),
          onProgress: ({ doneBytes, totalBytes }) => onProgress(totalBytes > 0 ? doneBytes / totalBytes : 0),
        })
        if (calibration === null) return { path, calibration: null }
        // Apart from the model: of the same weights there may be several.
        const folder = this.#folderOf(fingerprint, calibration.digest)
        const lies = await fetchModel({ ...from, folder, files: [calibration], rangesOf: null })
        return { path, calibration: join(lies, calibration.name) }
      } finally {
        for (const peer of peers) peer.close()
      }
    })
  }

  /** Lets go of all models but these; their pieces stay as long as there is room. */
  async keepOnly(fingerprints: ReadonlySet<string>): Promise<void> {
    this.#wanted = new Set([...fingerprints].map(folderName))
    const folders = await readdir(this.options.folder).catch(() => [])
    const unused = folders.filter((name) => !this.#wanted.has(modelOf(name)))
    await Promise.all(unused.map((name) => this.#inTurn(modelOf(name), () => this.#drop(name))))
    if (unused.length > 0) await this.store.evict(this.options.cacheLimitBytes)
  }

  /** It may be wanted again by now. */
  async #drop(name: string): Promise<void> {
    if (this.#wanted.has(modelOf(name))) return
    await rm(join(this.options.folder, name), { recursive: true, force: true })
  }

  #folderOf(fingerprint: string, calibration: string | null = null): string {
    const name = folderName(fingerprint)
    return join(this.options.folder, calibration === null ? name : `${name}.${folderName(calibration)}`)
  }

  #inTurn<T>(fingerprint: string, work: () => Promise<T>): Promise<T> {
    const name = folderName(fingerprint)
    const done = (this.#busy.get(name) ?? Promise.resolve()).then(work)
    const settled = done.then(
      () => undefined,
      () => undefined,
    )
    this.#busy.set(name, settled)
    return done
  }
}

/** Fingerprints are hexadecimal digits, but nobody promises. */
const folderName = (fingerprint: string): string => fingerprint.replace(/[^A-Za-z0-9_-]/g, '_')
/** Folders of calibrations have a dot behind their model's name. */
const modelOf = (folder: string): string => folder.split('.', 1)[0] ?? ''
