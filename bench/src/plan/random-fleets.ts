import { type Random, seededRandom } from '@deos/domain'
import {
  type Accelerator,
  catalogue,
  type FlowDevice,
  type FlowInstance,
  type FlowLink,
  findAccelerator,
  memoryBytes,
  peakFlops,
} from '@deos/planner'

interface ServedModel {
  readonly name: string
  readonly layers: number
  readonly parametersPerLayer: number
  readonly kvBytesPerTokenAndLayer: number
  readonly hidden: number
}

/** LLaMA shapes in 16 bits: 8B and 70B with grouped queries, 30B without. */
const models: readonly ServedModel[] = [
  { name: '8b', layers: 32, parametersPerLayer: 218e6, kvBytesPerTokenAndLayer: 4096, hidden: 4096 },
  { name: '30b', layers: 60, parametersPerLayer: 540e6, kvBytesPerTokenAndLayer: 26_624, hidden: 6656 },
  { name: '70b', layers: 80, parametersPerLayer: 856e6, kvBytesPerTokenAndLayer: 4096, hidden: 8192 },
]
const kinds = [
  'T4',
  'L4',
  'A10',
  'V100-PCIe-16GB',
  'RTX 3090',
  'RTX 4090',
  'L40S',
  'A100-SXM4-40GB',
  'A100-SXM4-80GB',
  'H100-SXM5-80GB',
]
/** Shares of the peaks that serving reaches; of memory that is not the runtime's. */
const computeShare = 0.5
const bandwidthShare = 0.7
const memoryShare = 0.9
/** Mean lengths of the Azure conversation trace. */
const promptTokens = 763
const outputTokens = 232
const mostRequests = 256
const tokenBytes = 2

export interface RandomFleet {
  readonly name: string
  readonly instance: FlowInstance
}

export interface FleetTerms {
  readonly devices: number
  readonly model?: number
  readonly sites?: number
}

/**
 * A fleet drawn from a seed: 4 to 40 machines of two to four kinds of accelerators in one to three sites, with 10 Gbit/s
 * inside and 0.1 to 1 Gbit/s between sites, that can hold one of three models.
 */
export function randomFleet(seed: number): RandomFleet {
  const random = seededRandom(seed)
  for (;;) {
    const fleet = drawFleet(random, { devices: 4 + Math.floor(random.next() * 37) })
    const room = fleet.devices.reduce((sum, device) => sum + device.tokensPerSecondByLayers.length, 0)
    if (room >= fleet.layers) return { name: `fleet ${seed}`, instance: fleet }
  }
}

/** A fleet as {@link randomFleet}'s, of a given size. */
export function drawFleet(random: Random, terms: FleetTerms): FlowInstance {
  const below = (count: number) => Math.floor(random.next() * count)
  const model = models[terms.model ?? below(models.length)]!
  const mix = Array.from({ length: 2 + below(3) }, () =>
    findAccelerator(catalogue, kinds[below(kinds.length)]!),
  )
  const drawn = Array.from({ length: terms.devices }, () => mix[below(mix.length)]!)
  const siteCount = terms.sites ?? 1 + below(3)
  const sites = drawn.map(() => below(siteCount))
  const devices = drawn.flatMap((accelerator, index): FlowDevice[] => {
    const rates = ratesOf(accelerator, model)
    const name = `${accelerator.name}-${index}`
    return rates.length === 0 ? [] : [{ name, kind: accelerator.name, tokensPerSecondByLayers: rates }]
  })
  const between = (0.1 + 0.9 * random.next()) * 1.25e8
  const links: FlowLink[] = devices.flatMap((_, from) => [
    { from: 'source' as const, to: from, tokensPerSecond: 1.25e9 / tokenBytes },
    { from, to: 'sink' as const, tokensPerSecond: 1.25e9 / tokenBytes },
    ...devices.flatMap((__, to) => {
      const bytesPerSecond = sites[from] === sites[to] ? 1.25e9 : between
      return from === to ? [] : [{ from, to, tokensPerSecond: bytesPerSecond / (model.hidden * 2) }]
    }),
  ])
  return { layers: model.layers, devices, links }
}

/**
 * Tokens/s by layers held, for requests of mean length: compute-bound prompts, and decode steps of as many requests as the
 * memory left by the weights holds, bound by weights or products. It ends where fewer than one request fits.
 */
function ratesOf(accelerator: Accelerator, model: ServedModel): readonly number[] {
  const layerBytes = model.parametersPerLayer * 2
  const memory = memoryBytes(accelerator) * memoryShare
  const flops = peakFlops(accelerator, 'fp16') * computeShare
  const bandwidth = accelerator.memoryGBs * 1e9 * bandwidthShare
  const rates: number[] = []
  for (let layers = 1; layers <= model.layers; layers += 1) {
    const kvTokens = (memory - layers * layerBytes) / (layers * model.kvBytesPerTokenAndLayer)
    const requests = Math.min(mostRequests, Math.floor(kvTokens / (promptTokens + outputTokens)))
    if (requests < 1) break
    const flopsPerToken = 2 * model.parametersPerLayer * layers
    const step = Math.max((layers * layerBytes) / bandwidth, (flopsPerToken * requests) / flops)
    const seconds = (flopsPerToken * promptTokens) / flops + (outputTokens * step) / requests
    rates.push((promptTokens + outputTokens) / seconds)
  }
  return rates
}
