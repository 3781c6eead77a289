import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { type BlobPieces, ProblemError } from '@deos/api'
import { bytes, type OrganisationId } from '@deos/domain'
import { RangedBytes } from '../http/ranged-bytes.ts'
import { isReadable, type ModelStore, type StoredBlobRow } from './model-store.ts'

const readBytes = 1 << 20
/** Machines ask for one piece after another: the same question again soon. */
const rememberedMs = 5000
const rememberedBlobs = 256

/** Bytes of models, for machines of the organisation that has them, and for gateways. */
export class BlobReader {
  readonly #remembered = new Map<string, { readonly row: StoredBlobRow; readonly untilMs: number }>()

  constructor(
    private readonly store: Pick<ModelStore, 'blob'>,
    private readonly now: () => Date,
  ) {}

  /** @param organisation - whose machine asks; `null` for a gateway. @throws ProblemError */
  async pieces(digest: string, organisation: OrganisationId | null): Promise<BlobPieces> {
    const { blob } = await this.#find(digest, organisation)
    return { ...blob, sizeBytes: bytes(blob.sizeBytes), pieces: [...blob.pieces] }
  }

  /** @throws ProblemError */
  async bytes(digest: string, organisation: OrganisationId | null): Promise<RangedBytes> {
    const { blob, path } = await this.#find(digest, organisation)
    if (!(await isReadable(path, blob.sizeBytes))) {
      throw new ProblemError(
        'unavailable',
        `The bytes of ${digest} are not where this control plane looks for them.`,
        {
          code: 'BLOB_UNREADABLE',
          hint: 'Put the file back, or give all control planes the same data folder.',
        },
      )
    }
    return new RangedBytes(blob.sizeBytes, (range) => readFile(path, range))
  }

  async #find(digest: string, organisation: OrganisationId | null): Promise<StoredBlobRow> {
    const key = `${organisation ?? ''} ${digest}`
    const nowMs = this.now().getTime()
    const remembered = this.#remembered.get(key)
    if (remembered && remembered.untilMs > nowMs) return remembered.row
    const row = await this.store.blob(digest, organisation)
    this.#remembered.delete(key)
    if (row === null)
      throw new ProblemError('not-found', `There are no bytes with the digest ${digest} here.`)
    this.#remembered.set(key, { row, untilMs: nowMs + rememberedMs })
    for (const oldest of this.#remembered.keys()) {
      if (this.#remembered.size <= rememberedBlobs) break
      this.#remembered.delete(oldest)
    }
    return row
  }
}

async function* readFile(
  path: string,
  { first, end }: { readonly first: number; readonly end: number },
): AsyncGenerator<Uint8Array> {
  // Where the file was is no place for a link to somewhere else.
  const file = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0))
  try {
    for (let at = first; at < end; ) {
      const chunk = new Uint8Array(Math.min(readBytes, end - at))
      const { bytesRead } = await file.read(chunk, 0, chunk.length, at)
      if (bytesRead === 0) throw new Error(`${path} became shorter while it was read.`)
      yield chunk.subarray(0, bytesRead)
      at += bytesRead
    }
  } finally {
    await file.close()
  }
}
