import { readFileSync } from 'node:fs'
import type { Figure } from '../contract.ts'
import { measuredFigure } from '../contract.ts'
import { measureCodec } from './codec/measure-codec.ts'
import { type KvQuality, measureKvQuality } from './kv-quality.ts'

export interface KvBenchOptions {
  readonly modelPath: string
  readonly textPath: string
  /** A text unlike the first, for bases that were not fitted to it. */
  readonly otherTextPath: string
  readonly quick: boolean
  readonly threads: number
  readonly cacheDir: string
  progress(line: string): void
}

/** Most that quantising K and V may cost, as a ratio of perplexities. */
const perplexityBars = { Q8_0: 1.005, Q4_0: 1.1 } as const

const types = ['Q8_0', 'Q4_0'] as const

/** What quantised K and V save and what they cost, against F16; and the same of blocks that travel. */
export async function measureKv(options: KvBenchOptions) {
  const { modelPath, textPath, otherTextPath, quick, threads, cacheDir, progress } = options
  const plan = quick ? { windows: 4, windowTokens: 256 } : { windows: 16, windowTokens: 512 }
  const text = readFileSync(textPath, 'utf8')
  const qualities = await measureKvQuality({ modelPath, text, types, ...plan, threads, cacheDir, progress })
  const [f16, ...quantised] = qualities
  const figures = quantised.flatMap((quality, index) => figuresOf(f16!, quality, types[index]!))
  const codec = await measureCodec({ modelPath, textPath, otherTextPath, quick, threads, cacheDir, progress })
  return {
    figures: [...figures, ...codec.figures],
    raw: { model: modelPath, text: textPath, ...plan, qualities, codec: codec.raw },
  }
}

function figuresOf(f16: KvQuality, quality: KvQuality, type: (typeof types)[number]): readonly Figure[] {
  const prefix = `kv.${type.toLowerCase()}`
  return [
    measuredFigure({
      id: `${prefix}.perplexityRatio`,
      unit: 'ratio',
      better: 'lower',
      bar: perplexityBars[type],
      samples: [quality.perplexity / f16.perplexity],
    }),
    measuredFigure({
      id: `${prefix}.top1Agreement`,
      unit: 'ratio',
      better: 'higher',
      samples: [quality.top1Agreement],
    }),
    measuredFigure({
      id: `${prefix}.sizeRatio`,
      unit: 'ratio',
      better: 'lower',
      samples: [quality.positionBytes / f16.positionBytes],
    }),
  ]
}
