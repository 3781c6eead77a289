import type { LayerPart } from '../architectures/index.ts'
import { type RankPlace, type RankShares, type StageRank, sumOver } from '../ranks/index.ts'
import type { Share } from '../ranks/stage-split.ts'

/** One of several ranks that compute a stage, as its graphs see it. */
export class RankParts {
  /** The experts that lie here; null where each of the ranks that share a token has all. */
  readonly experts: Share | null
  private readonly groups: Readonly<Record<LayerPart, readonly number[]>>

  constructor(
    private readonly rank: StageRank,
    place: RankPlace,
    shares: RankShares,
  ) {
    this.groups = { attention: place.attentionGroup, feedForward: place.feedForwardGroup }
    this.experts = place.feedForwardGroup.length > 1 ? shares.experts : null
  }

  /** Rank 0 gives what the stage gives; the others help. */
  get isFirst(): boolean {
    return this.rank.collective.rank === 0
  }

  shares(part: LayerPart): boolean {
    return this.groups[part].length > 1
  }

  sum(part: LayerPart, values: Float32Array): Promise<void> {
    return sumOver(this.rank.collective, this.groups[part], values)
  }
}
