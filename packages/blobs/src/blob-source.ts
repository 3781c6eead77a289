import { createHash } from 'node:crypto'
import { DomainError, describeError } from '@deos/domain'
import { type BlobPieces, type ByteRange, rangeOfPiece } from './blob-pieces.ts'
import { digestOf } from './cut-blob.ts'

/** Somebody who may have bytes of blobs. Nothing it sends is believed before it was checked. */
export interface BlobSource {
  /** For messages. */
  readonly name: string
  /** The bytes of a range, in order. May break off, or lack some. */
  read(digest: string, range: ByteRange, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>
}

/** No source gave the right bytes. */
export class BlobFetchError extends DomainError {
  readonly code = 'BLOB_FETCH_FAILED'
  readonly retriable = true

  constructor(
    readonly digest: string,
    readonly piece: number,
    /** What each source did. */
    readonly attempts: readonly string[],
    cause: unknown,
  ) {
    super(
      attempts.length === 0
        ? `There is nobody to fetch piece ${piece} of ${digest} from.`
        : `Piece ${piece} of ${digest} could not be fetched: ${attempts.join('; ')}.`,
      'Check that the control plane can be reached, then try again.',
      { cause },
    )
  }
}

/** Bytes of a source that are not those of the piece. */
class WrongBytesError extends Error {}

/** Fetches pieces from the first source that has them, and asks none again that sent wrong bytes. */
export class PieceFetcher {
  readonly #liars = new Set<BlobSource>()

  /**
   * @param sources - in the order in which they are asked
   * @param idleMs - a source that is silent for so long is given up
   */
  constructor(
    private readonly sources: readonly BlobSource[],
    private readonly idleMs: number,
  ) {}

  /** @throws BlobFetchError, the signal's reason when aborted */
  async fetch(blob: BlobPieces, index: number, signal: AbortSignal): Promise<Uint8Array> {
    const attempts: string[] = []
    let cause: unknown
    for (const source of this.sources) {
      if (this.#liars.has(source)) {
        attempts.push(`${source.name} had sent wrong bytes before`)
        continue
      }
      try {
        return await this.#from(source, blob, index, signal)
      } catch (error) {
        signal.throwIfAborted()
        if (error instanceof WrongBytesError) this.#liars.add(source)
        attempts.push(`${source.name}: ${describeError(error)}`)
        cause = error
      }
    }
    throw new BlobFetchError(blob.digest, index, attempts, cause)
  }

  async #from(source: BlobSource, blob: BlobPieces, index: number, signal: AbortSignal): Promise<Uint8Array> {
    const range = rangeOfPiece(blob, index)
    const bytes = Buffer.allocUnsafe(range.end - range.first)
    const idle = new AbortController()
    const silent = () => idle.abort(new Error(`it was silent for ${this.idleMs} ms`))
    let timer = setTimeout(silent, this.idleMs)
    const both = AbortSignal.any([signal, idle.signal])
    let at = 0
    try {
      const chunks = await until(both, source.read(blob.digest, range, both))
      for await (const chunk of untilEach(both, chunks)) {
        clearTimeout(timer)
        timer = setTimeout(silent, this.idleMs)
        if (at + chunk.length > bytes.length) throw new WrongBytesError('it sent more than was asked for')
        bytes.set(chunk, at)
        at += chunk.length
      }
    } finally {
      clearTimeout(timer)
    }
    if (at < bytes.length) throw new Error(`it sent ${at} of ${bytes.length} bytes`)
    if (digestOf(createHash('sha256').update(bytes)) !== blob.pieces[index]) {
      throw new WrongBytesError('it sent wrong bytes')
    }
    return bytes
  }
}

/** The work, or the signal's reason if that comes first: sources need not look at their signal. */
async function until<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  // It may end, or fail, when nobody waits for it any more.
  work.catch(() => {})
  signal.throwIfAborted()
  let stop = () => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
  })
  try {
    return await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

async function* untilEach(
  signal: AbortSignal,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]()
  let ended = false
  try {
    for (;;) {
      const next = await until(signal, iterator.next())
      ended = next.done === true
      if (next.done === true) return
      yield next.value
    }
  } finally {
    // One that hangs would hang here too.
    if (!ended) void iterator.return?.().catch(() => {})
  }
}
