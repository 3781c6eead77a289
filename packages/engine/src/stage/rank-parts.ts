import type { LayerPart } from '../architectures/index.ts'
import { type RankPlace, type RankShares, type StageRank, sumOver } from '../ranks/index.ts'
import type { Share } from '../ranks/stage-split.ts'
import type { ContextRows } from './context-rows.ts'

const noRows: ContextRows = {
  ...{ total: 0, byRank: [], computed: [], cells: [], outputs: [] },
  positions: new Int32Array(),
}

/** A rank among those that divide the positions. */
export class ContextShare {
  /** Of the step that is computed. */
  rows: ContextRows = noRows

  constructor(
    /** Among those that divide the positions. */
    readonly index: number,
    private readonly group: readonly number[],
    private readonly rank: StageRank,
  ) {}

  get ranks(): number {
    return this.group.length
  }

  /** What each of them gives, by index. */
  exchange(own: Uint8Array): Promise<readonly Uint8Array[]> {
    return this.rank.collective.exchange(own, this.group)
  }
}

/** One of several ranks that compute a stage, as its graphs see it. */
export class RankParts {
  /** The experts that lie here; null where each of the ranks that share a token has all. */
  readonly experts: Share | null
  /** Null where all positions are stored here. */
  readonly context: ContextShare | null
  private readonly groups: Readonly<Record<LayerPart, readonly number[]>>

  constructor(
    private readonly rank: StageRank,
    private readonly place: RankPlace,
    shares: RankShares,
  ) {
    this.groups = { attention: place.attentionGroup, feedForward: place.feedForwardGroup }
    this.experts = place.feedForwardGroup.length > 1 ? shares.experts : null
    this.context =
      place.contextGroup.length > 1 ? new ContextShare(place.context, place.contextGroup, rank) : null
  }

  /** Rank 0 gives what the stage gives; the others help. */
  get isFirst(): boolean {
    return this.place.rank === 0
  }

  /** Whether it hands its rows to rank 0 in the end: one of each group that has the same. */
  get givesRows(): boolean {
    return this.place.feedForward === 0
  }

  shares(part: LayerPart): boolean {
    return this.groups[part].length > 1
  }

  sum(part: LayerPart, values: Float32Array): Promise<void> {
    return sumOver(this.rank.collective, this.groups[part], values)
  }
}
