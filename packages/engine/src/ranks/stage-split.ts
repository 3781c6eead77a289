import { DomainError } from '@deos/domain'
import type { Collective } from './collective.ts'

export class RankSplitError extends DomainError {
  readonly code = 'RANK_SPLIT'
  readonly retriable = false
}

/** Into how many parts the ranks of a stage divide its work; 1 divides nothing. Their product is the number of ranks. */
export interface StageSplit {
  /** Heads, and the width of feed-forward networks. */
  readonly tensor: number
  /** Experts; plain feed-forward networks are divided further by it too. Attention is computed by each of them. */
  readonly experts: number
  /** Positions: pages of the KV cache, and with them the tokens whose K and V they hold. */
  readonly context: number
}

export const unsplit: StageSplit = { tensor: 1, experts: 1, context: 1 }

export const rankCount = ({ tensor, experts, context }: StageSplit): number => tensor * experts * context

/** One rank's place, and the ranks it shares a part of its work with, itself among them, in ascending order. */
export interface RankPlace {
  readonly rank: number
  /** Index among those that divide the heads. */
  readonly tensor: number
  /** Index among those that divide feed-forward networks, and among those that divide experts. */
  readonly feedForward: number
  readonly context: number
  readonly attentionGroup: readonly number[]
  readonly feedForwardGroup: readonly number[]
  readonly contextGroup: readonly number[]
}

/**
 * Neighbouring ranks divide heads; groups of those divide experts; groups of those divide positions.
 *
 * @throws RankSplitError for degrees that are no whole numbers from 1 on, or a rank that they do not make
 */
export function rankPlace(split: StageSplit, rank: number): RankPlace {
  for (const [name, degree] of Object.entries(split)) {
    if (!Number.isInteger(degree) || degree < 1) {
      throw new RankSplitError(`${name} is divided by ${degree}.`, 'Give a whole number from 1 on.')
    }
  }
  const ranks = rankCount(split)
  if (!Number.isInteger(rank) || rank < 0 || rank >= ranks) {
    throw new RankSplitError(`There is no rank ${rank} of ${ranks}.`, `Ranks are 0 to ${ranks - 1}.`)
  }
  const model = split.tensor * split.experts
  const feedForward = rank % model
  const first = rank - feedForward
  const tensor = rank % split.tensor
  return {
    ...{ rank, tensor, feedForward },
    context: Math.floor(rank / model),
    attentionGroup: Array.from({ length: split.tensor }, (_, index) => rank - tensor + index),
    feedForwardGroup: Array.from({ length: model }, (_, index) => first + index),
    contextGroup: Array.from({ length: split.context }, (_, index) => feedForward + index * model),
  }
}

/** What one rank of a stage is. */
export interface StageRank {
  readonly split: StageSplit
  readonly collective: Collective
}

/** `[first, end)` */
export interface Share {
  readonly first: number
  readonly end: number
}

/**
 * The part with this index of `count` things that stay together in units, parts as equal as possible.
 *
 * @throws RankSplitError if there are fewer units than parts
 */
export function shareOf(what: string, count: number, unit: number, parts: number, index: number): Share {
  const units = count / unit
  if (!Number.isInteger(units) || units < parts) {
    throw new RankSplitError(
      `${count} ${what} cannot be divided by ${parts}: ${unit === 1 ? 'there are too few' : `${unit} of them stay together`}.`,
      'Use fewer ranks, or another weight type.',
    )
  }
  return {
    first: Math.floor((units * index) / parts) * unit,
    end: Math.floor((units * (index + 1)) / parts) * unit,
  }
}
