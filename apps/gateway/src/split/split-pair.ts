import type { Calibration } from '@deos/codec'
import { KvQuality } from './kv-quality.ts'
import { SplitAdvisor } from './split-advisor.ts'
import type { QualityMode, SplitMode } from './split-modes.ts'

/** How KV of a deployment's prompts may travel. */
export interface FleetCoding {
  /** As the deployment wants it. */
  readonly mode: QualityMode
  /** Of its model, as this gateway has it. */
  readonly calibration: Calibration | null
}

export interface SplitPairOptions {
  readonly split: SplitMode
  readonly splitBlockTokens: number
  readonly kvExposedMs: number
  /** 0 has it measured. */
  readonly kvGoodputBytes: number
  /** How long after the start better copies may travel, where they are wished for. */
  readonly kvEnhanceMs: number
}

/** What was learnt of hand-overs from one replica to another: when they are worth it, and what the way carries. */
export class SplitPair {
  readonly advisor: SplitAdvisor
  readonly quality: KvQuality

  /** @param before - what was known while KV travelled otherwise */
  constructor(
    private readonly coding: FleetCoding,
    options: SplitPairOptions,
    before: SplitPair | null,
  ) {
    this.advisor = before?.advisor ?? new SplitAdvisor(options.split, options.splitBlockTokens)
    this.quality = new KvQuality({
      ...coding,
      budgetMs: options.kvExposedMs,
      bytesPerSecond: options.kvGoodputBytes || null,
      enhanceMs: options.kvEnhanceMs,
    })
  }

  isCodedBy({ mode, calibration }: FleetCoding): boolean {
    return mode === this.coding.mode && calibration?.id === this.coding.calibration?.id
  }
}
