import { ProblemError } from '@deos/api'

/** Half-open. */
export interface Range {
  readonly first: number
  readonly end: number
}

/**
 * Bytes of known size of which callers may ask a part. Handlers of byte routes answer with it and need not look at
 * headers: the server reads what `range` names and answers 206 or 416 itself.
 */
export class RangedBytes implements AsyncIterable<Uint8Array> {
  /**
   * @param readRange - bytes of `[first, end)`, which lie within the size; stops when the caller leaves the loop
   */
  constructor(
    readonly sizeBytes: number,
    private readonly readRange: (range: Range) => AsyncIterable<Uint8Array>,
  ) {}

  read(range: Range): AsyncIterable<Uint8Array> {
    return this.readRange(range)
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return this.readRange({ first: 0, end: this.sizeBytes })[Symbol.asyncIterator]()
  }
}

/** The range asked for lies outside of what there is. */
export class RangeNotSatisfiableError extends ProblemError {
  constructor(readonly sizeBytes: number) {
    super('range-not-satisfiable', `There are ${sizeBytes} bytes; the range begins beyond them.`, {
      hint: 'Ask for a range within them.',
    })
  }
}

const rangePattern = /^bytes=(\d{0,15})-(\d{0,15})$/

/**
 * What a `range` header asks for: one range of bytes. Others, such as several at once, may be passed over after RFC 9110.
 *
 * @returns null if all is asked for
 * @throws RangeNotSatisfiableError if it begins beyond the end
 */
export function rangeOf(header: string | undefined, sizeBytes: number): Range | null {
  const [, from, to] = rangePattern.exec(header ?? '') ?? []
  if (from === undefined || to === undefined || (from === '' && to === '')) return null
  if (from === '') return suffix(Number(to), sizeBytes)
  const first = Number(from)
  if (to !== '' && Number(to) < first) return null
  if (first >= sizeBytes) throw new RangeNotSatisfiableError(sizeBytes)
  return { first, end: to === '' ? sizeBytes : Math.min(Number(to) + 1, sizeBytes) }
}

function suffix(lengthBytes: number, sizeBytes: number): Range {
  if (lengthBytes === 0 || sizeBytes === 0) throw new RangeNotSatisfiableError(sizeBytes)
  return { first: Math.max(0, sizeBytes - lengthBytes), end: sizeBytes }
}
