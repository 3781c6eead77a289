import type { ModelConfig } from '@deos/domain'
import { Backend } from '@deos/engine'
import { measuredFigure, median } from '../contract.ts'
import { type BenchModelRequest, benchModel } from '../engine/bench-models.ts'
import { measurePairs } from '../pairs.ts'
import { ChunkPipeline } from './chunk-pipeline.ts'

export interface KvBlocksOptions extends BenchModelRequest {
  readonly threads: number
}

/** Positions of a block. */
const CHUNK = 128
/** Blocks that the prompt holds before the one that is measured. */
const EARLIER = 4

export async function measureKvBlocks(options: KvBlocksOptions) {
  const source = await benchModel(options, 'F16')
  const backend = Backend.open({ threads: options.threads, inline: true })
  const { layers } = source.config
  const plan = { chunk: CHUNK, chunks: EARLIER + 1, cacheDir: options.cacheDir }
  const whole = await ChunkPipeline.load(backend, source, { ...plan, groups: 1 })
  const n = options.quick ? 5 : 15
  try {
    options.progress('copying beside computing')
    const read = await measurePairs({ n, a: () => whole.timeRead(), b: () => whole.timeChunk() })
    const write = await measurePairs({ n, a: () => whole.timeWrite(), b: () => whole.timeChunk() })
    const perChunk = (id: string, samples: readonly number[]) =>
      measuredFigure({ id, unit: 'ratio', better: 'lower', bar: 0.02, samples })
    const figures = [
      perChunk('kvBlocks.read.perComputed', read.ratios),
      perChunk('kvBlocks.write.perComputed', write.ratios),
    ]
    const raw: Record<string, unknown> = {
      ...{ chunkTokens: CHUNK, position: EARLIER * CHUNK, layers, chunkBytes: kvBytes(source.config) },
      ...{ chunkMs: median(read.b), readMs: median(read.a), writeMs: median(write.a) },
    }
    for (const groups of groupCounts(layers)) {
      options.progress(`computing in ${groups} groups of layers`)
      const grouped = await ChunkPipeline.load(backend, source, { ...plan, groups })
      const pairs = await measurePairs({ n, a: () => grouped.timeChunk(), b: () => whole.timeChunk() })
      grouped.close()
      const id = `kvBlocks.groups.${groups === layers ? 'each' : groups}.vsWhole`
      figures.push(measuredFigure({ id, unit: 'ratio', better: 'lower', samples: pairs.ratios }))
    }
    return { figures, raw }
  } finally {
    whole.close()
    backend.close()
  }
}

const groupCounts = (layers: number): readonly number[] => [2, 4, layers]

const kvBytes = ({ kvHeads, headDim, layers }: ModelConfig): number =>
  CHUNK * 2 * kvHeads * headDim * 2 * layers
