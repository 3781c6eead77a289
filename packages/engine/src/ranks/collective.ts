/** What the ranks of a stage say to each other while they compute a step together. */
export interface Collective {
  /** This rank's number. */
  readonly rank: number
  /**
   * Hands `own` to the others of `members` and takes what they hand over. Ranks make the same calls in the same order,
   * each in those of the groups it is in.
   *
   * @param members - ranks, this one among them, in the same order everywhere
   * @returns what each of `members` gave, in their order; whoever reads it does not keep it
   */
  exchange(own: Uint8Array, members: readonly number[]): Promise<readonly Uint8Array[]>
}

export const bytesOf = (values: Float32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength)

/** @throws RangeError if it is not of the length expected: ranks that do not compute the same step */
export function floatsOf(data: Uint8Array, length: number): Float32Array {
  if (data.byteLength !== length * 4) {
    throw new RangeError(`A rank handed over ${data.byteLength} bytes; ${length * 4} were expected.`)
  }
  if (data.byteOffset % 4 === 0) return new Float32Array(data.buffer, data.byteOffset, length)
  return new Float32Array(data.slice().buffer)
}

/** Replaces `values` by the sum over the members. Summed in their order, so that all come to have the same bits. */
export async function sumOver(
  collective: Collective,
  members: readonly number[],
  values: Float32Array,
): Promise<void> {
  const given = await collective.exchange(bytesOf(values).slice(), members)
  const parts = given.map((data) => floatsOf(data, values.length))
  for (let index = 0; index < values.length; index += 1) {
    let sum = 0
    for (const part of parts) sum = Math.fround(sum + part[index]!)
    values[index] = sum
  }
}
