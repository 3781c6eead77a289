import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  type ComputeFleet,
  catalogue,
  type FleetMachine,
  findAccelerator,
  type ModelShape,
  plainFleet,
  plainMachine,
  type ServingRequest,
  type ServingWorkload,
  shapeFromHuggingFace,
} from '@deos/planner'
import type { ServiceTargets } from '@deos/simulator'

/**
 * USD an hour for one accelerator, "secure" on-demand offers of RunPod on 2026-05-24 where there is one (H100, H200, A100,
 * RTX 4090), else its "community" offers (L40S, RTX 3090); collected by tardellirs/gpu-pricing@8f09a680, MIT.
 */
const pricePerHour = {
  'H200-SXM-141GB': 4.39,
  'H100-SXM5-80GB': 3.29,
  'A100-SXM4-80GB': 1.49,
  L40S: 0.79,
  'RTX 4090': 0.69,
  'RTX 3090': 0.22,
} as const
type Priced = keyof typeof pricePerHour

const machine = (accelerator: Priced, accelerators: number, region: string): FleetMachine =>
  plainMachine(`${accelerator} in ${region}`, findAccelerator(catalogue, accelerator), {
    accelerators,
    site: region,
    region,
    pricePerHour: pricePerHour[accelerator] * accelerators,
  })

const gbps = (value: number) => (value * 1e9) / 8
/** Inside a site, and between two regions of a continent; all links of a sweep but those inside machines. */
const siteLink = { delayMs: 0.05, bytesPerS: gbps(100) }
const regionLink = { delayMs: 15, bytesPerS: gbps(10) }

const fleetOf = (machines: readonly FleetMachine[]): ComputeFleet =>
  plainFleet(machines, { sameSite: siteLink, sameRegion: siteLink, elsewhere: regionLink })

export const fleets: Readonly<Record<string, ComputeFleet>> = {
  'h100+4090': fleetOf([machine('H100-SXM5-80GB', 4, 'west'), machine('RTX 4090', 8, 'west')]),
  'a100+l40s': fleetOf([machine('A100-SXM4-80GB', 4, 'west'), machine('L40S', 8, 'west')]),
  'h200+3090': fleetOf([machine('H200-SXM-141GB', 2, 'west'), machine('RTX 3090', 8, 'west')]),
  'h200+3090.twoRegions': fleetOf([machine('H200-SXM-141GB', 2, 'west'), machine('RTX 3090', 8, 'east')]),
}

/** The same machines where everything between two of them goes at this rate. */
export function withLinksOf(fleet: ComputeFleet, gigabits: number): ComputeFleet {
  const rated = ({ delayMs }: { readonly delayMs: number }) => ({ delayMs, bytesPerS: gbps(gigabits) })
  const { sameSite, sameRegion, elsewhere } = fleet.links
  const links = {
    ...fleet.links,
    sameSite: rated(sameSite),
    sameRegion: rated(sameRegion),
    elsewhere: rated(elsewhere),
  }
  return { ...fleet, links }
}

const llama31 = (hidden: number, feedForward: number, layers: number, heads: number) =>
  shapeFromHuggingFace({
    model_type: 'llama',
    hidden_size: hidden,
    intermediate_size: feedForward,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: 8,
    vocab_size: 128256,
    max_position_embeddings: 131072,
    tie_word_embeddings: false,
  })

/** `config.json` of Llama 3.1. */
export const models: Readonly<Record<string, ModelShape>> = {
  '8b': llama31(4096, 14336, 32, 32),
  '70b': llama31(8192, 28672, 80, 64),
}

/** ms to the first token and for each after it, for nine of ten requests. */
export const targets: Readonly<Record<string, Readonly<Record<string, readonly [number, number]>>>> = {
  'azure-conversation': { '8b': [1000, 50], '70b': [3000, 100] },
  'azure-code': { '8b': [2000, 50], '70b': [6000, 100] },
  'mooncake-conversation': { '8b': [8000, 50], '70b': [30_000, 100] },
}

export const share = 0.9

export function targetsOf(trace: string, model: string): ServiceTargets {
  const [ttftMs, tpotMs] = targets[trace]![model]!
  return { ttftMs, tpotMs, share }
}

/** Beside the sources, and from the built bench. */
const here = dirname(fileURLToPath(import.meta.url))
const folder = [join(here, '../../data/requests'), join(here, '../../bench/data/requests')].find(existsSync)

/** Of `bench/data/requests`. */
export function readRequests(name: string): readonly ServingRequest[] {
  if (folder === undefined) throw new Error(`bench/data/requests is not beside ${here}.`)
  const [, ...lines] = readFileSync(join(folder, `${name}.csv`), 'utf8')
    .trim()
    .split('\n')
  return lines.map((line) => {
    const [atMs, promptTokens, outputTokens] = line.split(',').map(Number)
    return { atMs: atMs!, promptTokens: promptTokens!, outputTokens: outputTokens! }
  })
}

/**
 * What the planner is told.
 *
 * @param mean - of the targets, what it is to keep in the mean; nine of ten requests are then within them if all goes well
 */
export function workloadOf(
  trace: readonly ServingRequest[],
  { ttftMs, tpotMs }: ServiceTargets,
  roles: 'together' | 'split',
  mean: number,
): ServingWorkload {
  const lengths = (key: 'promptTokens' | 'outputTokens') => {
    const sorted = trace.map((request) => request[key]).sort((a, b) => a - b)
    const average = sorted.reduce((sum, each) => sum + each, 0) / sorted.length
    return { mean: average, p95: Math.max(average, sorted[Math.floor(sorted.length * 0.95)]!) }
  }
  return {
    requestsPerS: null,
    promptTokens: lengths('promptTokens'),
    outputTokens: lengths('outputTokens'),
    trace,
    contextTokens: Math.max(...trace.map(({ promptTokens, outputTokens }) => promptTokens + outputTokens)),
    ttftMs: ttftMs * mean,
    tpotMs: tpotMs * mean,
    goal: 'throughput',
    precisions: ['fp16'],
    kvBytesPerElement: 2,
    roles,
    maxBatch: 256,
  }
}
