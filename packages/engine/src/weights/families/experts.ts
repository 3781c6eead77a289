import { type ExpertConfig, isExpertLayer, type ModelConfig } from '@deos/domain'
import { type Fields, ranges } from '../fields.ts'
import { type GgufValue, uint32 } from '../gguf-values.ts'
import type { TensorInfo, TensorPart } from '../model-source.ts'
import type { Assembly, TensorRule } from './family.ts'

export const expertCounts = { min: 1, max: 512 } as const

/** What most mixtures of experts have: softmax over all experts, then the best ones' weights made to sum to 1. */
export const plainRouting = {
  sharedFeedForwardSize: 0,
  scoring: 'softmax',
  normalised: true,
  weightScale: 1,
  groups: 1,
  groupsUsed: 1,
  groupJudges: 1,
  layers: { first: 0, every: 1 },
} as const satisfies Partial<ExpertConfig>

type Projection = 'gate' | 'up' | 'down'

/** How Hugging Face files name the modules of an expert layer, within a layer. */
export interface ExpertModules {
  readonly router: string
  /** What newer files call it. */
  readonly newRouter?: string
  /** How they hold the projections of all experts. */
  projection(name: Projection): Pick<TensorRule, 'huggingFace' | 'assemblies'>
}

/** The router and its experts, `[in, out, experts]` each, in the layers that have them. */
export function expertLayer({ router, newRouter, projection }: ExpertModules): readonly TensorRule[] {
  const rule = (name: Projection, shape: TensorRule['shape']): TensorRule => ({
    gguf: `ffn_${name}_exps.weight`,
    ...projection(name),
    shape,
    inLayer: isExpertLayer,
  })
  return [
    {
      gguf: 'ffn_gate_inp.weight',
      huggingFace: `${router}.weight`,
      assemblies: newRouter === undefined ? [] : [renamed(`${newRouter}.weight`, routerShape)],
      shape: routerShape,
      inLayer: isExpertLayer,
    },
    rule('gate', intoExperts),
    rule('up', intoExperts),
    rule('down', outOfExperts),
  ]
}

const routerShape = (config: ModelConfig) => [config.hiddenSize, expertsOf(config).count]

/** A whole tensor under another name. */
const renamed = (name: string, shape: TensorRule['shape']): Assembly => ({
  stored: (config) => [{ name, shape: shape(config) }],
  parts: (config, [stored]) => {
    const rows = shape(config)[1]!
    const { file, offset, sizeBytes } = stored!
    return [{ file, offset, rows, rowStrideBytes: sizeBytes / rows, elementStrideBytes: null }]
  },
})

/** The expert that every token goes through. @param module - its name in Hugging Face files */
export function sharedExpert(module: string): readonly TensorRule[] {
  const size = (config: ModelConfig) => expertsOf(config).sharedFeedForwardSize
  const inLayer = (config: ModelConfig, layer: number) => isExpertLayer(config, layer) && size(config) > 0
  const rule = (name: Projection, shape: TensorRule['shape']): TensorRule => ({
    gguf: `ffn_${name}_shexp.weight`,
    huggingFace: `${module}.${name}_proj.weight`,
    shape,
    inLayer,
  })
  return [
    rule('gate', (config) => [config.hiddenSize, size(config)]),
    rule('up', (config) => [config.hiddenSize, size(config)]),
    rule('down', (config) => [size(config), config.hiddenSize]),
  ]
}

export function expertsOf({ experts, name }: ModelConfig): ExpertConfig {
  if (experts === null) throw new Error(`${name} has no experts.`)
  return experts
}

const intoExperts = (config: ModelConfig) => [
  config.hiddenSize,
  expertsOf(config).feedForwardSize,
  expertsOf(config).count,
]

const outOfExperts = (config: ModelConfig) => [
  expertsOf(config).feedForwardSize,
  config.hiddenSize,
  expertsOf(config).count,
]

/** Each expert's matrix in a tensor of its own. @param name - of one expert's tensor, within a layer */
export function stackOfExperts(projection: Projection, name: (expert: number) => string): Assembly {
  const shape = projection === 'down' ? outOfExperts : intoExperts
  return {
    stored: (config) =>
      Array.from({ length: expertsOf(config).count }, (_, expert) => ({
        name: name(expert),
        shape: shape(config).slice(0, 2),
      })),
    parts: (config, found) => {
      const rows = shape(config)[1]!
      return found.map(({ file, offset, sizeBytes }) => ({
        ...{ file, offset, rows },
        rowStrideBytes: sizeBytes / rows,
        elementStrideBytes: null,
      }))
    },
  }
}

/**
 * All experts' matrices in one tensor, gate and up one below the other, as newer versions of Transformers write them.
 *
 * @param module - name of the experts, within a layer
 */
export function fusedExperts(projection: Projection, module: string): Assembly {
  const shape = projection === 'down' ? outOfExperts : intoExperts
  const fused = projection === 'down' ? 1 : 2
  return {
    stored: (config) => {
      const [columns, rows, count] = shape(config) as [number, number, number]
      const name = `${module}.${projection === 'down' ? 'down_proj' : 'gate_up_proj'}`
      return [{ name, shape: [columns, fused * rows, count] }]
    },
    parts: (config, [stored]) => {
      const { file, offset, sizeBytes } = stored!
      const [, rows, count] = shape(config) as [number, number, number]
      const matrixBytes = sizeBytes / count / fused
      const place = projection === 'up' ? 1 : 0
      return Array.from({ length: count }, (_, expert) => ({
        ...{ file, offset: offset + (expert * fused + place) * matrixBytes, rows },
        rowStrideBytes: matrixBytes / rows,
        elementStrideBytes: null,
      }))
    },
  }
}

/** Columns `first`, `first + step`, … of each expert's matrix `[columns, rows]` in one tensor, which are rows of ours. */
export interface ColumnsOfExperts {
  readonly name: string
  columns(config: ModelConfig): number
  rows(config: ModelConfig): number
  /** How many columns there are to take. */
  taken(config: ModelConfig): number
  first(config: ModelConfig): number
  readonly step: number
}

export function columnsOfExperts(source: ColumnsOfExperts): Assembly {
  return {
    stored: (config) => [
      { name: source.name, shape: [source.columns(config), source.rows(config), expertsOf(config).count] },
    ],
    parts: (config, found) => {
      const stored = found[0] as TensorInfo
      const columns = source.columns(config)
      const { count } = expertsOf(config)
      const matrixBytes = stored.sizeBytes / count
      const elementBytes = matrixBytes / columns / source.rows(config)
      return Array.from(
        { length: count },
        (_, expert): TensorPart => ({
          file: stored.file,
          offset: stored.offset + expert * matrixBytes + source.first(config) * elementBytes,
          rows: source.taken(config),
          rowStrideBytes: source.step * elementBytes,
          elementStrideBytes: columns * elementBytes,
        }),
      )
    },
  }
}

/** The keys of GGUF that say how many experts there are; `null` if there are none. */
export function ggufExpertCounts(fields: Fields): Pick<ExpertConfig, 'count' | 'used'> | null {
  const count = fields.integer('expert_count', { min: 0, max: expertCounts.max }, 0)
  if (count === 0) return null
  return { count, used: fields.integer('expert_used_count', { min: 1, max: count }) }
}

/** The same in families that are never without. @throws ModelFileError if there are none */
export function ggufOwnExpertCounts(fields: Fields): Pick<ExpertConfig, 'count' | 'used'> {
  const counts = ggufExpertCounts(fields)
  if (counts) return counts
  throw fields.error('expert_count', fields.raw('expert_count') ?? undefined, 'a number from 1')
}

export const ggufExpertSize = (fields: Fields, fallback?: number): number =>
  fields.integer('expert_feed_forward_length', ranges.width, fallback)

/** What {@link ggufExpertCounts} and {@link ggufExpertSize} read. */
export function expertMetadata({ experts }: ModelConfig): readonly (readonly [string, GgufValue])[] {
  if (experts === null) return []
  return [
    ['expert_count', uint32(experts.count)],
    ['expert_used_count', uint32(experts.used)],
    ['expert_feed_forward_length', uint32(experts.feedForwardSize)],
  ]
}
