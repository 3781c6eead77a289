import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type BlobPieces, cutBlob, linkModel, withoutCalibration } from '@deos/blobs'
import { bytes } from '@deos/domain'
import type { Queries } from '../database/database.ts'
import { downloadFile } from './download.ts'
import { ModelSourceError, WrongBytesError } from './errors.ts'
import { Hub, type HubFile, textOf } from './hub.ts'
import type { ModelFolders } from './local-model.ts'
import {
  type CalibrationFacts,
  digestOfFiles,
  type ModelFacts,
  readCalibrationFacts,
  readFacts,
} from './model-facts.ts'
import { filesOfModel, nameInModel } from './model-files.ts'
import { isReadable, type ModelResult, type ModelStore, type StoredBlobRow } from './model-store.ts'
import type { Outgoing } from './outgoing.ts'
import type { ModelState, Progress, RegisteredModel } from './registered-model.ts'

export interface ModelWorkParts {
  readonly store: ModelStore
  readonly outgoing: Outgoing
  readonly folders: ModelFolders
  /** Downloads and blobs lie below it; control planes that share models share it. */
  readonly dataFolder: string
  readonly hub: { readonly url: string; readonly token: string | null }
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>
}

/** How the work goes, as often as there is something new. */
export type Report = (now: {
  readonly state: ModelState
  readonly reason: string
  readonly progress: Omit<Progress, 'bytesPerSecond'> | null
}) => void

/** A file of a model with its bytes. */
interface GatheredFile {
  readonly name: string
  readonly path: string
  readonly blob: BlobPieces
  /** Whether the bytes are ours to move to where blobs stay. */
  readonly downloaded: boolean
}

/** A blob that was there when the work began was removed with another model: the work begins again. */
export class BlobGoneError extends Error {
  override readonly name = 'BlobGoneError'
}

const blobFolder = 'blobs'
const downloadFolder = 'downloads'

/** Takes a model from its source: finds its files, fetches and checks them, and reads what they say. */
export class ModelWork {
  constructor(private readonly parts: ModelWorkParts) {}

  /**
   * @returns false if the model was removed meanwhile
   * @throws DomainErrors saying why it cannot be had; BlobGoneError; the signal's reason when aborted
   */
  async run(model: RegisteredModel, report: Report, signal: AbortSignal): Promise<boolean> {
    const found = await this.#gather(model, report, signal)
    const { model: own, calibration } = withoutCalibration(found)
    // What was learnt of a model does not make it another one.
    const digest = digestOfFiles(own.map(fileOf))
    if (model.wantedDigest !== null && model.wantedDigest !== digest) {
      throw new WrongBytesError(model.name, model.wantedDigest, digest)
    }
    signal.throwIfAborted()
    const facts = await this.#readFacts(model, own)
    const learnt = calibration && (await readCalibrationFacts(calibration.path, facts.fingerprint))
    const gathered = learnt !== null && 'id' in learnt ? found : own
    const files = gathered.map(fileOf)
    const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0)
    const note = calibration === null || learnt === null ? '' : noteOf(calibration.name, learnt)
    const result: ModelResult = { files, sizeBytes, digest, facts, note }
    const done = await this.parts.store.complete(model, result, (queries) => this.#place(gathered, queries))
    if (done) await this.discard(model)
    return done
  }

  /** Removes what the work on a model left behind. */
  async discard({ id }: Pick<RegisteredModel, 'id'>): Promise<void> {
    await rm(this.#downloads(id), { recursive: true, force: true })
  }

  /** Removes a blob's file if it is one of ours; those that operators put somewhere stay. */
  readonly discardBlob = async (path: string): Promise<void> => {
    if (path.startsWith(join(this.parts.dataFolder, blobFolder))) await rm(path, { force: true })
  }

  #downloads(id: string): string {
    return join(this.parts.dataFolder, downloadFolder, id)
  }

  #gather(model: RegisteredModel, report: Report, signal: AbortSignal): Promise<readonly GatheredFile[]> {
    const { source } = model
    return source.kind === 'path'
      ? this.#fromPath(source.path, report, signal)
      : this.#fromHub(model, source, report, signal)
  }

  async #fromPath(path: string, report: Report, signal: AbortSignal): Promise<readonly GatheredFile[]> {
    const files = await this.parts.folders.files(path)
    const sizes = await Promise.all(files.map(async (file) => (await stat(file.path)).size))
    const totalBytes = sum(sizes)
    let before = 0
    const gathered: GatheredFile[] = []
    for (const { name, path: real } of files) {
      const onProgress = ({ doneBytes }: { doneBytes: number }) =>
        report({
          state: 'registering',
          reason: `Reads ${name}.`,
          progress: { doneBytes: bytes(before + doneBytes), totalBytes: bytes(totalBytes) },
        })
      const blob = await cutBlob(real, { onProgress, signal })
      gathered.push({ name, path: real, blob, downloaded: false })
      before += blob.sizeBytes
    }
    return gathered
  }

  async #fromHub(
    model: RegisteredModel,
    source: Extract<RegisteredModel['source'], { kind: 'huggingface' }>,
    report: Report,
    signal: AbortSignal,
  ): Promise<readonly GatheredFile[]> {
    const { repository } = source
    const hub = await this.#hubOf(model, source.hubUrl)
    report({ state: 'downloading', reason: `Asks ${hub.url} for ${repository}.`, progress: null })
    const commit = await hub.commitOf(source, signal)
    const listed = new Map((await hub.files(repository, commit, signal)).map((file) => [file.name, file]))
    const read = async (name: string) => textOf(await hub.download(repository, commit, name, 0, signal))
    const names = await filesOfModel({ names: [...listed.keys()], read }, source.file)
    const wanted = names.map((name) => listed.get(name)!)
    const totalBytes = sum(wanted.map(({ sizeBytes }) => sizeBytes))
    let before = 0
    const gathered: GatheredFile[] = []
    for (const file of wanted) {
      const onProgress = (reason: string, doneBytes: number) =>
        report({
          state: 'downloading',
          reason,
          progress: { doneBytes: bytes(before + doneBytes), totalBytes: bytes(totalBytes) },
        })
      const folder = join(this.#downloads(model.id), commit)
      gathered.push(await this.#fetch({ model, hub, repository, commit, file, folder, onProgress, signal }))
      before += file.sizeBytes
    }
    return gathered
  }

  /** The operator's token is for the operator's hub. */
  async #hubOf({ organisation }: RegisteredModel, named: string | null): Promise<Hub> {
    const { hub, outgoing, store } = this.parts
    const url = named ?? (await store.hubUrlOf(organisation)) ?? hub.url
    const isOperators = new URL(url).origin === new URL(hub.url).origin
    return new Hub(outgoing, url, isOperators ? hub.token : null)
  }

  async #fetch(wanted: {
    model: RegisteredModel
    hub: Hub
    repository: string
    commit: string
    file: HubFile
    folder: string
    onProgress: (reason: string, doneBytes: number) => void
    signal: AbortSignal
  }): Promise<GatheredFile> {
    const { model, file, folder, onProgress, signal, ...from } = wanted
    const name = nameInModel(file.name)
    const known = await this.#alreadyThere(model, file)
    if (known) return { name, path: known.path, blob: known.blob, downloaded: false }
    const path = join(folder, createHash('sha256').update(file.name).digest('hex'))
    const download = (doneBytes: number) => onProgress(`Fetches ${file.name}.`, doneBytes)
    const { sleep } = this.parts
    const options = { ...from, file, path, onProgress: download, signal, ...(sleep ? { sleep } : {}) }
    for (let attempt = 1; ; attempt += 1) {
      await downloadFile(options)
      onProgress(`Checks ${file.name}.`, file.sizeBytes)
      const blob = await cutBlob(path, { signal })
      const wrong = await wrongBytes(file, path, blob)
      if (wrong === null) return { name, path, blob, downloaded: true }
      await rm(path, { force: true })
      // What an earlier try left may have been torn by a crash; a second time, it is the source.
      if (attempt === 2) throw wrong
    }
  }

  /**
   * Only what the same organisation has: a hub that lists the digest of somebody else's file would get it for its
   * organisation otherwise.
   */
  async #alreadyThere(
    { organisation }: RegisteredModel,
    { sha256, sizeBytes }: HubFile,
  ): Promise<StoredBlobRow | null> {
    if (sha256 === null) return null
    const found = await this.parts.store.blob(`sha256:${sha256}`, organisation)
    const usable = found?.blob.sizeBytes === sizeBytes && (await isReadable(found.path, sizeBytes))
    return usable ? found : null
  }

  /** Opens the model from a folder that holds its files and nothing else, as machines will. */
  async #readFacts({ id }: RegisteredModel, files: readonly GatheredFile[]): Promise<ModelFacts> {
    const folder = join(this.#downloads(id), 'layout')
    await linkModel(folder, files)
    try {
      return await readFacts(folder)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }

  async #place(files: readonly GatheredFile[], queries: Queries): Promise<readonly StoredBlobRow[]> {
    const placed: StoredBlobRow[] = []
    for (const { path, blob, downloaded } of files) {
      const known = await this.parts.store.readableBlob(blob.digest, queries)
      if (known) {
        placed.push(known)
      } else if (downloaded) {
        placed.push({ blob, path: await this.#keep(path, blob) })
      } else if (await isReadable(path, blob.sizeBytes)) {
        placed.push({ blob, path })
      } else {
        throw new BlobGoneError(`${path} is no longer there.`)
      }
    }
    return placed
  }

  async #keep(path: string, { digest, sizeBytes }: BlobPieces): Promise<string> {
    const hex = digest.slice('sha256:'.length)
    const folder = join(this.parts.dataFolder, blobFolder, hex.slice(0, 2))
    const kept = join(folder, hex)
    await mkdir(folder, { recursive: true })
    // A transaction that is begun again finds it moved already.
    if (!(await isReadable(path, sizeBytes)) && (await isReadable(kept, sizeBytes))) return kept
    await rename(path, kept)
    return kept
  }
}

const fileOf = ({ name, blob: { digest, sizeBytes } }: GatheredFile) => ({
  ...{ name, digest, sizeBytes: bytes(sizeBytes) },
})

const noteOf = (name: string, learnt: CalibrationFacts): string =>
  'id' in learnt
    ? `KV is handed over by calibration ${learnt.id}.`
    : `KV is handed over without ${name}: ${learnt.problem}`

const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0)

async function wrongBytes(file: HubFile, path: string, blob: BlobPieces): Promise<WrongBytesError | null> {
  if (file.sha256 !== null) {
    const wanted = `sha256:${file.sha256}`
    return blob.digest === wanted ? null : new WrongBytesError(file.name, wanted, blob.digest)
  }
  if (file.gitOid === null) {
    throw new ModelSourceError(`The hub lists no digest of ${file.name}.`, 'Take the model from another hub.')
  }
  const hash = createHash('sha1').update(`blob ${blob.sizeBytes}\0`)
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  const found = hash.digest('hex')
  return found === file.gitOid ? null : new WrongBytesError(file.name, file.gitOid, found)
}
