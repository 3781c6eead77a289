import type { ModelConfig } from '@deos/domain'
import { rowBytes, tensorBytes, tensorTypes } from '../ggml/tensor-type.ts'
import type { TensorInfo } from '../weights/model-source.ts'
import { type RankPlace, RankSplitError, type Share, type StageSplit, shareOf } from './stage-split.ts'

/** Equal pieces of a file at equal distances. */
export interface BytePieces {
  readonly offset: number
  readonly sizeBytes: number
  readonly strideBytes: number
  readonly count: number
}

/** A stored weight of which only some bytes are wanted, packed in this order. */
export interface RankTensor extends TensorInfo {
  /** Absent where the wanted bytes are `sizeBytes` from `offset` on. */
  readonly pieces?: readonly BytePieces[]
}

/** What one rank holds of each layer. */
export interface RankShares {
  readonly heads: Share
  readonly kvHeads: Share
  readonly feedForward: Share
  /** Of the experts themselves, by number. */
  readonly experts: Share
  /** Of the width of the shared expert. */
  readonly sharedExpert: Share
}

export interface RankModel {
  readonly shares: RankShares
  /** The model as this rank's part of it looks; experts are still counted in all. */
  readonly config: ModelConfig
  readonly weights: readonly RankTensor[]
}

const layerTensor = /^blk\.\d+\.(?<tensor>.+)$/

/**
 * A rank's part of a stage's weights: whole heads with the keys they share, and a range of feed-forward columns that
 * begins and ends between blocks of the weights' types.
 *
 * @param weights - of the whole stage, ready to map
 * @throws RankSplitError if the model has too few heads, columns or experts for so many ranks
 */
export function rankModel(
  config: ModelConfig,
  weights: readonly TensorInfo[],
  split: StageSplit,
  place: RankPlace,
): RankModel {
  const shares = rankShares(config, weights, split, place)
  const { heads, kvHeads, feedForward, sharedExpert } = shares
  const experts = config.experts && { ...config.experts, sharedFeedForwardSize: width(sharedExpert) }
  return {
    shares,
    config: {
      ...config,
      heads: width(heads),
      kvHeads: config.latentAttention ? config.kvHeads : width(kvHeads),
      feedForwardSize: width(feedForward),
      experts,
    },
    weights: weights.map((tensor) => rankTensor(config, tensor, shares)),
  }
}

const width = ({ first, end }: Share): number => end - first

function rankShares(
  config: ModelConfig,
  weights: readonly TensorInfo[],
  split: StageSplit,
  { tensor, feedForward: index }: RankPlace,
): RankShares {
  const { heads, kvHeads, headDim, feedForwardSize, experts, latentAttention } = config
  if (split.experts > 1 && experts === null) {
    throw new RankSplitError(`${config.name} has no experts to divide.`, 'Divide tensors or context instead.')
  }
  const blockOf = (name: string) => {
    const blocks = weights
      .filter((info) => layerTensor.exec(info.name)?.groups?.tensor === name)
      .map(({ type }) => tensorTypes[type].blockSize)
    return Math.max(1, ...blocks)
  }
  // Latent attention caches one vector for all heads, which every rank keeps.
  const keys = latentAttention ? heads : kvHeads
  const group = heads / keys
  const columns = group * (latentAttention?.valueDim ?? headDim)
  const unit = blockOf('attn_output.weight') / greatestDivisor(columns, blockOf('attn_output.weight'))
  const kv = shareOf('KV heads', keys, split.tensor === 1 ? keys : unit, split.tensor, tensor)
  const parts = split.tensor * split.experts
  const divided = (what: string, count: number, by: number) =>
    count === 0 ? { first: 0, end: 0 } : shareOf(what, count, parts === 1 ? count : by, parts, index)
  return {
    kvHeads: kv,
    heads: { first: kv.first * group, end: kv.end * group },
    feedForward: divided('feed-forward columns', feedForwardSize, blockOf('ffn_down.weight')),
    experts: divided('experts', experts?.count ?? 0, 1),
    sharedExpert: divided(
      'columns of the shared expert',
      experts?.sharedFeedForwardSize ?? 0,
      blockOf('ffn_down_shexp.weight'),
    ),
  }
}

const greatestDivisor = (a: number, b: number): number => (b === 0 ? a : greatestDivisor(b, a % b))

function rankTensor(config: ModelConfig, tensor: TensorInfo, shares: RankShares): RankTensor {
  const name = layerTensor.exec(tensor.name)?.groups?.tensor
  const { heads, kvHeads, feedForward, experts, sharedExpert } = shares
  const { headDim, latentAttention, feedForwardSize } = config
  const times = ({ first, end }: Share, factor: number): Share => ({
    first: first * factor,
    end: end * factor,
  })
  const valueDim = latentAttention?.valueDim ?? headDim
  switch (name?.replace(/\.(weight|bias)$/, '')) {
    case 'attn_q':
    case 'attn_q_b':
      return outer(tensor, [times(heads, headDim)])
    case 'attn_k':
    case 'attn_v':
      return outer(tensor, [times(kvHeads, headDim)])
    case 'attn_qkv': {
      const keys = config.heads * headDim
      const values = keys + config.kvHeads * headDim
      const kv = times(kvHeads, headDim)
      return outer(tensor, [times(heads, headDim), shifted(kv, keys), shifted(kv, values)])
    }
    case 'attn_sinks':
    case 'attn_k_b':
    case 'attn_v_b':
      return outer(tensor, [heads])
    case 'attn_output':
      return name === 'attn_output.bias' ? tensor : inner(tensor, times(heads, valueDim))
    case 'ffn_gate':
      return outer(tensor, [feedForward])
    case 'ffn_up': {
      const fused = tensor.shape.at(-1) === 2 * feedForwardSize
      return outer(tensor, fused ? [feedForward, shifted(feedForward, feedForwardSize)] : [feedForward])
    }
    case 'ffn_down':
      return name === 'ffn_down.bias' ? tensor : inner(tensor, feedForward)
    case 'ffn_gate_shexp':
    case 'ffn_up_shexp':
      return outer(tensor, [sharedExpert])
    case 'ffn_down_shexp':
      return inner(tensor, sharedExpert)
    case 'ffn_gate_exps':
    case 'ffn_up_exps':
    case 'ffn_down_exps':
      return outer(tensor, [experts])
    default:
      return tensor
  }
}

const shifted = ({ first, end }: Share, by: number): Share => ({ first: first + by, end: end + by })

/** Some ranges of the last dim, one after the other. */
function outer(tensor: TensorInfo, ranges: readonly Share[]): RankTensor {
  const { type, shape, offset } = tensor
  const count = ranges.reduce((sum, range) => sum + width(range), 0)
  if (count === shape.at(-1)) return tensor
  const sizeOf = (extent: number) => tensorBytes(type, [...shape.slice(0, -1), extent])
  const pieces = ranges.map((range) => ({
    offset: offset + sizeOf(range.first),
    sizeBytes: sizeOf(width(range)),
    strideBytes: 0,
    count: 1,
  }))
  const cut = { ...tensor, shape: [...shape.slice(0, -1), count], sizeBytes: sizeOf(count) }
  return pieces.length === 1 ? { ...cut, offset: pieces[0]!.offset } : { ...cut, pieces }
}

/** A range of the columns of a matrix. */
function inner(tensor: TensorInfo, range: Share): RankTensor {
  const { type, shape, offset } = tensor
  const [columns = 0, rows = 1] = shape
  if (width(range) === columns) return tensor
  const strideBytes = rowBytes(type, columns)
  const sizeBytes = rowBytes(type, width(range))
  return {
    ...tensor,
    shape: [width(range), rows],
    sizeBytes: sizeBytes * rows,
    pieces: [{ offset: offset + rowBytes(type, range.first), sizeBytes, strideBytes, count: rows }],
  }
}
