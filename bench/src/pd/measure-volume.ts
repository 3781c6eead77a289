import { readFileSync } from 'node:fs'
import { catalogue, findAccelerator, layerTime, operatorGraph, shapeFromHuggingFace } from '@deos/planner'
import { z } from 'zod'
import { type Figure, measuredFigure, skippedFigure } from '../contract.ts'
import { measureCodec } from '../kv/codec/measure-codec.ts'
import { readTrace, TRACE_BLOCK_TOKENS, type TraceRequest } from './trace-requests.ts'
import { playTrace, type VolumeParts, type VolumeSettings } from './trace-volume.ts'

export interface MeasureVolumeOptions {
  /** With `req-mooncake`; `null` skips the figures. */
  readonly dataFolder: string | null
  /** What `deos bench kv --json` printed; `null` measures its ratios now, in its quick way. */
  readonly kvReport: string | null
  readonly modelPath: string
  readonly textPath: string
  readonly otherTextPath: string
  readonly threads: number
  readonly cacheDir: string
  progress(line: string): void
}

/** Llama-3.1-8B: 32 layers, 8 heads of 128 for keys and values, 128 KiB a position in halves. */
const served = {
  ...{ model_type: 'llama', hidden_size: 4_096, intermediate_size: 14_336, num_hidden_layers: 32 },
  ...{
    num_attention_heads: 32,
    num_key_value_heads: 8,
    vocab_size: 128_256,
    max_position_embeddings: 131_072,
  },
}
const KV_BYTES_PER_TOKEN = 32 * 2 * 8 * 128 * 2
const HERE = 'L4'
const THERE = 'H100-SXM5-80GB'
/** Of one hand-over. */
const WAY = { rttMs: 40, takeOverMs: 50 }
const MBPS = [1_000, 10_000] as const
/** At which both codings win often enough to travel. */
const CLAIMED_MBPS = 10_000
const CACHE_BYTES = [2 ** 38, 2 ** 40, 2 ** 42] as const
const CLAIMED_CACHE = 2 ** 40
/** What large models are said to reach, and less. */
const OTHER_RATIOS = [4, 5, 8, 16] as const

interface Ratios {
  readonly lossless: number
  readonly guarded: number
  readonly source: string
}

/** Bytes between regions over a trace of real requests, beside half-precision KV of all of them. */
export async function measureVolume(options: MeasureVolumeOptions) {
  const { dataFolder, progress } = options
  if (dataFolder === null) {
    const reason = 'No --data with req-mooncake was given.'
    return { figures: terms.map((term) => skippedFigure({ ...term, reason })), raw: { reason } }
  }
  const requests = readTrace(dataFolder)
  progress(`${requests.length} requests of the trace`)
  const ratios = await ratiosOf(options)
  const rates = { hereMsPerToken: msPerToken(HERE), thereMsPerToken: msPerToken(THERE) }
  const otherRatios = OTHER_RATIOS.map((ratio) => {
    const settings = settingsOf(ratio, CLAIMED_MBPS, CLAIMED_CACHE, rates)
    return { ratio, saved: sharesOf(playTrace(requests, settings)).saved }
  })
  const runs = (['lossless', 'guarded'] as const).flatMap((coding) =>
    MBPS.flatMap((mbps) =>
      CACHE_BYTES.map((cacheBytes) => {
        const settings = settingsOf(ratios[coding], mbps, cacheBytes, rates)
        return { coding, mbps, cacheBytes, ...sharesOf(playTrace(requests, settings)) }
      }),
    ),
  )
  return {
    figures: figuresOf(runs, requests),
    raw: {
      trace: 'Mooncake FAST25 conversation trace: one hour, blocks of 512 tokens',
      assumptions: [
        'Served is Llama-3.1-8B, 128 KiB of keys and values for a position in halves.',
        `Prompts are decoded on ${HERE}, or computed on ${THERE} first; times a token are the planner’s roofline at half of the peak.`,
        'Each hand-over has the way to itself at the rate given, with a round trip of 40 ms; taking over costs 50 ms.',
        'Blocks of the model are as compressible as those of the embedded model, on which ratios were measured.',
        'All requests of the trace share one cache in the decode region, of encoded blocks, also of those computed there.',
        'Counted are blocks, their frames and acknowledgements, content ids, and tokens of split prompts; not TCP’s headers, nor the bases, which travel once.',
      ],
      ...{ ratios, rates, claimed: { mbps: CLAIMED_MBPS, cacheBytes: CLAIMED_CACHE }, otherRatios, runs },
    },
  }
}

const terms = [
  { id: 'pd.volume.saved', unit: 'share', better: 'higher', bar: 0.9 },
  { id: 'pd.volume.savedLossless', unit: 'share', better: 'higher' },
  { id: 'pd.volume.byCodec', unit: 'share', better: 'higher' },
  { id: 'pd.volume.byReuse', unit: 'share', better: 'higher' },
  { id: 'pd.volume.byRouting', unit: 'share', better: 'higher' },
  { id: 'pd.volume.byRecompute', unit: 'share', better: 'higher' },
] as const

type Run = ReturnType<typeof sharesOf> & {
  readonly coding: 'lossless' | 'guarded'
  readonly mbps: number
  readonly cacheBytes: number
}

function figuresOf(runs: readonly Run[], requests: readonly TraceRequest[]): readonly Figure[] {
  const claimed = (coding: Run['coding']): Run =>
    runs.find(
      (run) => run.coding === coding && run.mbps === CLAIMED_MBPS && run.cacheBytes === CLAIMED_CACHE,
    )!
  const { saved, byCodec, byReuse, byRouting, byRecompute } = claimed('guarded')
  const values = [saved, claimed('lossless').saved, byCodec, byReuse, byRouting, byRecompute]
  return terms.map((term, index) => ({
    ...measuredFigure({ ...term, samples: [values[index]!] }),
    n: requests.length,
  }))
}

function sharesOf(parts: VolumeParts) {
  const share = (bytes: number): number => bytes / parts.baselineBytes
  return {
    saved: 1 - share(parts.sentBytes),
    byCodec: share(parts.codecBytes),
    byReuse: share(parts.reuseBytes),
    byRouting: share(parts.routingBytes),
    byRecompute: share(parts.recomputeBytes),
    ...parts,
  }
}

function settingsOf(
  ratio: number,
  mbps: number,
  cacheBytes: number,
  rates: Pick<VolumeSettings['rates'], 'hereMsPerToken' | 'thereMsPerToken'>,
): VolumeSettings {
  const thereStartMs = TRACE_BLOCK_TOKENS * rates.thereMsPerToken
  return {
    ...{ kvBytesPerToken: KV_BYTES_PER_TOKEN, layers: served.num_hidden_layers, ratio, cacheBytes },
    rates: { ...rates, ...WAY, thereStartMs, bytesPerSecond: mbps * 125_000 },
  }
}

/** Of a prompt of 4,096 tokens, computed at once. */
function msPerToken(device: string): number {
  const tokens = 4_096
  const graph = operatorGraph(shapeFromHuggingFace(served), {
    kind: 'prefill',
    sequences: 1,
    tokens,
    past: 0,
  })
  const accelerator = findAccelerator(catalogue, device)
  return graph.reduce((sum, layer) => sum + layerTime(layer, accelerator).timeMs, 0) / tokens
}

const reportSchema = z.object({
  commit: z.string(),
  quick: z.boolean(),
  figures: z.array(z.object({ id: z.string(), value: z.number().nullable() })),
})

async function ratiosOf(options: MeasureVolumeOptions): Promise<Ratios> {
  if (options.kvReport !== null) {
    const { figures, commit, quick } = reportSchema.parse(JSON.parse(readFileSync(options.kvReport, 'utf8')))
    return pick(figures, `deos bench kv${quick ? ' --quick' : ''} at ${commit}`)
  }
  const { figures } = await measureCodec({ ...options, quick: true })
  return pick(figures, 'measured in this run as deos bench kv --quick does')
}

function pick(
  figures: readonly { readonly id: string; readonly value: number | null }[],
  source: string,
): Ratios {
  const value = (id: string): number => {
    const found = figures.find((figure) => figure.id === id)?.value
    if (found === null || found === undefined) throw new Error(`The figures of the codec lack ${id}.`)
    return found
  }
  return {
    lossless: value('kv.codec.l0.ratio'),
    guarded: value('kv.codec.best.ratioAtKl0_01'),
    source,
  }
}
