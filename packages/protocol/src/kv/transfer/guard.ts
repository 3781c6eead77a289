import { KV_GUARD_TOP, type KvGuardRow } from './transfer-messages.ts'

export interface GuardLimits {
  /** Mean over the rows, in nats. */
  readonly maxKl: number
  /** Where the two highest exact logits are closer, the top token may differ. */
  readonly minMargin: number
}

/** Research gate: KL ≤ 0.01 nat and the same top token unless the exact margin is below 0.1. */
export const defaultGuardLimits: GuardLimits = { maxKl: 0.01, minMargin: 0.1 }

export interface GuardJudgement {
  readonly passed: boolean
  /** Mean over rows of KL(exact ‖ received), with all tokens outside the exact top as one bucket. */
  readonly kl: number
  readonly differingTops: number
}

/** What the exact cache makes of one position. */
export function guardRow(position: number, logits: Float32Array): KvGuardRow {
  const order = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b)
  const top = order.slice(0, KV_GUARD_TOP).map((token) => ({ token, logit: logits[token]! }))
  return { position, logSumExp: logSumExp(logits), top }
}

/**
 * Compares what the received cache makes of the last prompt tokens with what the exact one did. It gates the divergence
 * that was observed; it proves nothing about later tokens.
 *
 * @param received - all logits of the same positions, in order
 * @throws RangeError if rows and logits are not about the same
 */
export function judgeGuard(
  rows: readonly KvGuardRow[],
  received: readonly Float32Array[],
  limits: GuardLimits = defaultGuardLimits,
): GuardJudgement {
  if (rows.length === 0 || rows.length !== received.length) {
    throw new RangeError(
      `${rows.length} exact rows cannot be compared with ${received.length} received ones.`,
    )
  }
  let kl = 0
  let differingTops = 0
  for (const [index, row] of rows.entries()) {
    const logits = received[index]!
    const strange = row.top.find(({ token }) => token >= logits.length)
    if (strange !== undefined)
      throw new RangeError(`Token ${strange.token} is beyond ${logits.length} logits.`)
    kl += rowDivergence(row, logits)
    if (!sameTop(row, logits, limits.minMargin)) differingTops += 1
  }
  kl /= rows.length
  // Whatever is not a number did not pass.
  return { passed: kl <= limits.maxKl && differingTops === 0, kl, differingTops }
}

function rowDivergence(row: KvGuardRow, logits: Float32Array): number {
  const total = logSumExp(logits)
  let kl = 0
  let exactTail = 1
  let receivedTail = 1
  for (const { token, logit } of row.top) {
    const log = logit - row.logSumExp
    const other = logits[token]! - total
    kl += Math.exp(log) * (log - other)
    exactTail -= Math.exp(log)
    receivedTail -= Math.exp(other)
  }
  // Tails below what sums of this many terms can tell are rounding.
  if (exactTail < 1e-9) return kl
  return kl + exactTail * Math.log(exactTail / Math.max(receivedTail, 1e-12))
}

function sameTop({ top }: KvGuardRow, logits: Float32Array, minMargin: number): boolean {
  const [first, second] = top
  if (first === undefined) return false
  if (second !== undefined && first.logit - second.logit < minMargin) return true
  const highest = logits[first.token]!
  return logits.every((logit, token) => token === first.token || logit < highest)
}

function logSumExp(logits: Float32Array): number {
  let highest = Number.NEGATIVE_INFINITY
  for (const logit of logits) if (logit > highest) highest = logit
  let sum = 0
  for (const logit of logits) sum += Math.exp(logit - highest)
  return highest + Math.log(sum)
}
