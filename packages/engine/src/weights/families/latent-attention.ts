import type { LatentAttention, ModelConfig } from '@deos/domain'
import { tensorBytes, tensorTypes } from '../../ggml/tensor-type.ts'
import { ModelFileError } from '../errors.ts'
import type { TensorInfo, TensorPart } from '../model-source.ts'
import { queryWidth } from './common.ts'
import type { Assembly, TensorRule } from './family.ts'

export const latent = (config: ModelConfig): LatentAttention => config.latentAttention!
const plainDim = ({ headDim, ropeDim }: ModelConfig): number => headDim - ropeDim

const keyShape = (config: ModelConfig) => [plainDim(config), latent(config).kvRank, config.heads]
const valueShape = (config: ModelConfig) => [latent(config).kvRank, latent(config).valueDim, config.heads]

/** Multi-head latent attention without the norm before it. */
export function latentAttentionTensors(): readonly TensorRule[] {
  const compressed = (config: ModelConfig) => latent(config).queryRank !== null
  const queryRank = (config: ModelConfig) => latent(config).queryRank!
  return [
    {
      gguf: 'attn_q.weight',
      huggingFace: 'self_attn.q_proj.weight',
      shape: (config) => [config.hiddenSize, queryWidth(config)],
      inLayer: (config) => !compressed(config),
    },
    {
      gguf: 'attn_q_a.weight',
      huggingFace: 'self_attn.q_a_proj.weight',
      shape: (config) => [config.hiddenSize, queryRank(config)],
      inLayer: compressed,
    },
    {
      gguf: 'attn_q_a_norm.weight',
      huggingFace: 'self_attn.q_a_layernorm.weight',
      shape: (config) => [queryRank(config)],
      inLayer: compressed,
    },
    {
      gguf: 'attn_q_b.weight',
      huggingFace: 'self_attn.q_b_proj.weight',
      shape: (config) => [queryRank(config), queryWidth(config)],
      inLayer: compressed,
    },
    {
      gguf: 'attn_kv_a_mqa.weight',
      huggingFace: 'self_attn.kv_a_proj_with_mqa.weight',
      shape: (config) => [config.hiddenSize, latent(config).kvRank + config.ropeDim],
    },
    {
      gguf: 'attn_kv_a_norm.weight',
      huggingFace: 'self_attn.kv_a_layernorm.weight',
      shape: (config) => [latent(config).kvRank],
    },
    {
      gguf: 'attn_k_b.weight',
      huggingFace: null,
      assemblies: [{ stored: keysAndValues, parts: keyParts }],
      shape: keyShape,
    },
    {
      gguf: 'attn_v_b.weight',
      huggingFace: null,
      assemblies: [{ stored: keysAndValues, parts: valueParts }],
      shape: valueShape,
    },
    {
      gguf: 'attn_output.weight',
      huggingFace: 'self_attn.o_proj.weight',
      shape: (config) => [config.heads * latent(config).valueDim, config.hiddenSize],
    },
  ]
}

/** One matrix makes keys and values out of the compressed vector; its rows are those of each head, keys first. */
const keysAndValues: Assembly['stored'] = (config) => [
  {
    name: 'self_attn.kv_b_proj.weight',
    shape: [latent(config).kvRank, config.heads * (plainDim(config) + latent(config).valueDim)],
  },
]

/** Transposed, as attention works on the compressed vectors themselves. */
function keyParts(config: ModelConfig, [stored]: readonly TensorInfo[]): readonly TensorPart[] {
  const { rowBytes, offsetOf } = headsOf(config, stored!)
  const { kvRank } = latent(config)
  return Array.from({ length: config.heads }, (_, head) => ({
    file: stored!.file,
    offset: offsetOf(head),
    rows: kvRank,
    rowStrideBytes: rowBytes / kvRank,
    elementStrideBytes: rowBytes,
  }))
}

function valueParts(config: ModelConfig, [stored]: readonly TensorInfo[]): readonly TensorPart[] {
  const { rowBytes, offsetOf } = headsOf(config, stored!)
  return Array.from({ length: config.heads }, (_, head) => ({
    file: stored!.file,
    offset: offsetOf(head) + plainDim(config) * rowBytes,
    rows: latent(config).valueDim,
    rowStrideBytes: rowBytes,
    elementStrideBytes: null,
  }))
}

function headsOf(config: ModelConfig, { offset, sizeBytes, shape }: TensorInfo) {
  const rowBytes = sizeBytes / shape[1]!
  const headBytes = (plainDim(config) + latent(config).valueDim) * rowBytes
  return { rowBytes, offsetOf: (head: number) => offset + head * headBytes }
}

/** Of a matrix that old GGUF files have, within a layer. */
const undivided = 'attn_kv_b.weight'

/**
 * Old GGUF files' matrices for keys and values divided as newer ones have them. Keys are turned, which blocks of
 * quantised numbers do not allow: those become F16.
 *
 * @throws ModelFileError if such a matrix has another shape than the configuration asks for
 */
export function dividedKeysAndValues(
  config: ModelConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
): ReadonlyMap<string, TensorInfo> {
  const divided = new Map<string, TensorInfo>()
  const wanted = keysAndValues(config)[0]!.shape
  for (const [name, tensor] of tensors) {
    if (!name.endsWith(`.${undivided}`)) {
      divided.set(name, tensor)
      continue
    }
    if (tensor.shape.join() !== wanted.join()) {
      const rows = (shape: readonly number[]) => `[${shape.toReversed().join(', ')}]`
      throw new ModelFileError(
        tensor.file,
        `has the shape ${rows(tensor.shape)}; the model's configuration asks for ${rows(wanted)}`,
        { tensor: name },
      )
    }
    const prefix = name.slice(0, -undivided.length)
    for (const half of [dividedKeys(config, tensor), dividedValues(config, tensor)]) {
      const { file, offset } = half.parts[0]!
      const sizeBytes = tensorBytes(half.type, half.shape)
      divided.set(prefix + half.name, { ...half, name: prefix + half.name, file, offset, sizeBytes })
    }
  }
  return divided
}

function dividedKeys(config: ModelConfig, stored: TensorInfo) {
  const isBlocks = tensorTypes[stored.type].blockSize > 1
  const columns = latent(config).kvRank
  const parts: readonly TensorPart[] = keyParts(config, [stored])
  return {
    name: 'attn_k_b.weight',
    type: isBlocks ? ('F16' as const) : stored.type,
    shape: keyShape(config),
    parts: isBlocks ? parts.map((part) => ({ ...part, transposed: { type: stored.type, columns } })) : parts,
  }
}

const dividedValues = (config: ModelConfig, stored: TensorInfo) => ({
  name: 'attn_v_b.weight',
  type: stored.type,
  shape: valueShape(config),
  parts: valueParts(config, [stored]),
})
