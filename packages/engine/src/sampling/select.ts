/** The order filters keep a prefix of: likelier first, then the lower id. */
export function isBefore(logits: Float32Array, a: number, b: number): boolean {
  const left = logits[a]!
  const right = logits[b]!
  return left > right || (left === right && a < b)
}

/**
 * Reorders `ids[0, count)` so that its shortest prefix in order of likelihood whose weights reach `target` comes
 * first, in no particular order but with its least likely member last. Expected time is linear in `count`.
 *
 * @param weights - by token, not negative; `null` weighs every token 1
 * @returns length of the prefix; `count` if all weights together stay below `target`
 */
export function selectPrefix(
  ids: Int32Array,
  count: number,
  logits: Float32Array,
  weights: Float64Array | null,
  target: number,
): number {
  let first = 0
  let last = count - 1
  let reached = 0
  while (first < last) {
    const pivotAt = partition(ids, first, last, logits)
    let before = 0
    if (weights === null) before = pivotAt - first
    else for (let i = first; i < pivotAt; i += 1) before += weights[ids[i]!]!
    if (reached + before >= target && pivotAt > first) {
      last = pivotAt - 1
      continue
    }
    reached += before + (weights === null ? 1 : weights[ids[pivotAt]!]!)
    if (reached >= target) return pivotAt + 1
    first = pivotAt + 1
  }
  return Math.min(first + 1, count)
}

/** Splits `ids[first..last]` around a median of three; returns where the pivot ends up. */
function partition(ids: Int32Array, first: number, last: number, logits: Float32Array): number {
  const middle = (first + last) >>> 1
  if (isBefore(logits, ids[middle]!, ids[first]!)) swap(ids, first, middle)
  if (isBefore(logits, ids[last]!, ids[first]!)) swap(ids, first, last)
  if (isBefore(logits, ids[middle]!, ids[last]!)) swap(ids, middle, last)
  const pivot = ids[last]!
  let place = first
  for (let i = first; i < last; i += 1) {
    if (isBefore(logits, ids[i]!, pivot)) {
      swap(ids, i, place)
      place += 1
    }
  }
  swap(ids, place, last)
  return place
}

function swap(ids: Int32Array, a: number, b: number): void {
  const held = ids[a]!
  ids[a] = ids[b]!
  ids[b] = held
}
