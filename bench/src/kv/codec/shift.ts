import { GramAccumulator, type KvTools, renewBasis } from '@deos/codec'
import type { CacheLab, ContextCache } from './cache-lab.ts'
import { type FittedBasis, plainPart, SINK_TOKENS, sideBySide } from './calibrate.ts'
import type { CurvePoint } from './curves.ts'
import { perGroup } from './ladder.ts'
import { measurePoint } from './measure-point.ts'
import type { Trial } from './quality.ts'

/** What a text unlike the calibration text costs, and what renewing the bases on the way gives back. */
export interface ShiftResult {
  readonly before: CurvePoint
  readonly after: CurvePoint
  /** Of all renewed bases, each sent once. */
  readonly renewalBytes: number
  readonly renewalTokens: number
  /** From which on the renewed bases save more bytes than they took; null if they save none. */
  readonly tokensToPay: number | null
}

/** Renews bases from contexts of another text and sends further ones of it at the same step. */
export async function measureShift(
  lab: CacheLab,
  { seen, tested }: { readonly seen: readonly ContextCache[]; readonly tested: readonly Trial[] },
  bases: readonly FittedBasis[],
  { step, tools, exact }: { readonly step: number; readonly tools: KvTools; readonly exact: number },
): Promise<ShiftResult> {
  const renewed = bases.map(({ basis }) => {
    const gram = new GramAccumulator(basis.channels)
    for (const cache of seen) {
      const matrices = basis.parts.map((part) => plainPart(cache, part, lab.rotary, lab.channels))
      gram.add(sideBySide(matrices, cache[0]!.k.length / lab.channels))
    }
    return renewBasis(basis, gram)
  })
  const method = (name: string, own: readonly FittedBasis[]) => perGroup(lab, name, own, step, exact, tools)
  const before = await measurePoint(lab, tested, method('shifted', bases))
  const after = await measurePoint(lab, tested, method('renewed', renewed))
  const renewalBytes = after.toolBytes
  const saved = before.bytesPerToken - after.bytesPerToken
  return {
    ...{ before, after, renewalBytes, tokensToPay: saved > 0 ? renewalBytes / saved : null },
    renewalTokens: seen.reduce((sum, cache) => sum + cache[0]!.k.length / lab.channels - SINK_TOKENS, 0),
  }
}
