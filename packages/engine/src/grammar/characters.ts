/** Unicode scalar values as sorted, disjoint, half-open ranges. */
export type CodeRanges = readonly (readonly [first: number, end: number])[]

const limit = 0x110000
export const allCharacters: CodeRanges = [
  [0, 0xd800],
  [0xe000, limit],
]

/** Sorts, merges, and leaves surrogates out. */
export function unionOf(ranges: CodeRanges): CodeRanges {
  const sorted = intersection(
    [...ranges].filter(([first, end]) => first < end).sort((a, b) => a[0] - b[0]),
    allCharacters,
  )
  const merged: [number, number][] = []
  for (const [first, end] of sorted) {
    const last = merged.at(-1)
    if (last && first <= last[1]) last[1] = Math.max(last[1], end)
    else merged.push([first, end])
  }
  return merged
}

/** All scalar values that `ranges` (sorted) leaves out. */
export function complement(ranges: CodeRanges): CodeRanges {
  const gaps: [number, number][] = []
  let at = 0
  for (const [first, end] of ranges) {
    if (first > at) gaps.push([at, first])
    at = Math.max(at, end)
  }
  if (at < limit) gaps.push([at, limit])
  return intersection(gaps, allCharacters)
}

/** `left` may overlap in itself; `right` is sorted and disjoint. */
export function intersection(left: CodeRanges, right: CodeRanges): CodeRanges {
  const common: [number, number][] = []
  for (const [first, end] of left)
    for (const [otherFirst, otherEnd] of right) {
      if (otherFirst >= end) break
      const from = Math.max(first, otherFirst)
      const to = Math.min(end, otherEnd)
      if (from < to) common.push([from, to])
    }
  return common
}

export function difference(left: CodeRanges, right: CodeRanges): CodeRanges {
  return intersection(left, complement(right))
}

export function single(character: string): readonly [number, number] {
  const code = character.codePointAt(0)!
  return [code, code + 1]
}

export function rangesOf(characters: string): CodeRanges {
  return unionOf([...characters].map(single))
}

/** Half-open range of byte values. */
export type ByteRange = readonly [first: number, end: number]

/** The UTF-8 forms of the characters: each a sequence of ranges of which every combination is one character. */
export function utf8Sequences(ranges: CodeRanges): readonly (readonly ByteRange[])[] {
  const sequences: ByteRange[][] = []
  for (const [first, end] of ranges) {
    for (const [from, to] of [
      [0, 0x80],
      [0x80, 0x800],
      [0x800, 0x10000],
      [0x10000, limit],
    ] as const) {
      const low = Math.max(first, from)
      const high = Math.min(end, to) - 1
      if (low <= high) splitSequences(low, high, sequences)
    }
  }
  return sequences
}

/** Bounds are inclusive and have UTF-8 forms of one length. */
function splitSequences(low: number, high: number, out: ByteRange[][]): void {
  if (low >= 0x80) {
    for (let shift = 6; shift <= 18; shift += 6) {
      const mask = (1 << shift) - 1
      if ((low & ~mask) === (high & ~mask)) continue
      if ((low & mask) !== 0) {
        splitSequences(low, low | mask, out)
        splitSequences((low | mask) + 1, high, out)
        return
      }
      if ((high & mask) !== mask) {
        splitSequences(low, (high & ~mask) - 1, out)
        splitSequences(high & ~mask, high, out)
        return
      }
    }
  }
  const lowBytes = utf8Bytes(low)
  const highBytes = utf8Bytes(high)
  out.push(lowBytes.map((byte, i) => [byte, highBytes[i]! + 1]))
}

function utf8Bytes(code: number): number[] {
  if (code < 0x80) return [code]
  if (code < 0x800) return [0xc0 | (code >> 6), 0x80 | (code & 63)]
  if (code < 0x10000) return [0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)]
  return [0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)]
}
