import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FlowInstance, FlowPlacement } from '@deos/planner'
import {
  type Batching,
  type BatchLimits,
  type FleetLink,
  LayerTimes,
  type PassOverheads,
  type ServingFleet,
} from '@deos/simulator'
import { z } from 'zod'

const byLayers = z.record(z.string(), z.number())
const point = z.tuple([z.number(), z.number()])
const profileSchema = z.record(
  z.string(),
  z.object({
    prompt_tokens_to_ms_per_layer: z.array(point),
    decode_tokens_to_ms_per_layer: z.array(point),
    max_layers: z.number(),
    vllm_num_blocks_by_layers: byLayers,
    prompt_max_requests_by_layers: byLayers,
    decode_max_tokens_by_layers: byLayers,
  }),
)

/** Measured times and limits of one model, by kind of machine in lower case. */
export type HelixProfiles = z.infer<typeof profileSchema>
export type HelixModel = 'llama1_30b' | 'llama2_70b'

export const modelFacts = {
  llama1_30b: { layers: 60, activationBytes: 6656 * 2 },
  llama2_70b: { layers: 80, activationBytes: 8192 * 2 },
} as const

const tokenBytes = 2
const blockTokens = 16
const longestPrompt = 2048
const contextPerDecode = 1000
/** The authors charge 4 GB/s for joining activations and 5 GB/s for moving them to the device. */
const inputBytesPerMs = 1 / (1 / 4e6 + 1 / 5e6)

export interface HelixCluster {
  readonly kinds: readonly string[]
  readonly links: readonly FleetLink[]
}

/** @param folder - with `machine_profiles.json` */
export function readHelixProfiles(folder: string): HelixProfiles {
  return profileSchema.parse(JSON.parse(readFileSync(join(folder, 'machine_profiles.json'), 'utf8')))
}

/** The authors' cluster file; their `mbps` is a million bytes per second. */
export function readHelixCluster(path: string): HelixCluster {
  const kinds: string[] = []
  const links: FleetLink[] = []
  const sections = readFileSync(path, 'utf8').split(/^\[/m).slice(1)
  for (const section of sections) {
    const machine = /^ComputeNode-(\d+)\]\s+type=(\w+)/.exec(section)
    if (machine) kinds[Number(machine[1])] = machine[2]!.toLowerCase()
    const link = /^Link-(\w+)-(\w+)\]\s+bandwidth=([\d.]+) \* mbps\s+latency=([\d.]+) \* MilliSec/.exec(
      section,
    )
    if (!link) continue
    links.push({
      from: link[1] === 'source' ? 'source' : Number(link[1]),
      to: link[2] === 'sink' ? 'sink' : Number(link[2]),
      bytesPerMs: Number(link[3]) * 1000,
      latencyMs: Number(link[4]),
    })
  }
  return { kinds, links: bothWays(links) }
}

/** Files that name one direction mean both. */
function bothWays(links: readonly FleetLink[]): readonly FleetLink[] {
  const known = new Set(links.map(({ from, to }) => `${from}>${to}`))
  const turned = links.flatMap((link) =>
    typeof link.from === 'number' && typeof link.to === 'number' && !known.has(`${link.to}>${link.from}`)
      ? [{ ...link, from: link.to, to: link.from }]
      : [],
  )
  return [...links, ...turned]
}

export interface StageOptions {
  /** Tokens in each layer's cache of kinds whose stages hold more layers than were measured. */
  readonly kvTokens?: (kind: string, layers: number) => number | undefined
  /** Other than those of the profiles. */
  readonly limits?: BatchLimits
  /** Decode steps that share a pass at most, where the profiles allow more. */
  readonly stepsPerPass?: number
  readonly batching?: Batching
  readonly overheads?: PassOverheads
}

/** A cluster with a placement, ready to simulate. Machines without layers stay out. */
export function stageFleet(
  cluster: HelixCluster,
  profiles: HelixProfiles,
  model: HelixModel,
  placement: FlowPlacement,
  { kvTokens, limits: given, stepsPerPass, batching = 'mixed', overheads }: StageOptions = {},
): ServingFleet {
  const { layers, activationBytes } = modelFacts[model]
  const index = new Map<number, number>()
  const machines = placement.flatMap((range, device) => {
    if (range === null) return []
    index.set(device, index.size)
    const kind = cluster.kinds[device]!
    const profile = profiles[`${model}/${kind}`]!
    const count = range.end - range.first
    const measured = String(Math.min(count, profile.max_layers))
    const promptRequests = profile.prompt_max_requests_by_layers[measured]!
    const decodeRequests = profile.decode_max_tokens_by_layers[measured]!
    const limits = given ?? {
      promptRequests,
      promptTokens: promptRequests * longestPrompt,
      decodeRequests: Math.min(decodeRequests, stepsPerPass ?? decodeRequests),
      decodeContext: decodeRequests * contextPerDecode,
    }
    return [
      {
        name: `${kind}-${device}`,
        layers: range,
        times: layerTimes(profile, limits.promptTokens, limits.decodeRequests),
        kvTokens: kvTokens?.(kind, count) ?? profile.vllm_num_blocks_by_layers[measured]! * blockTokens,
        limits,
        inputMsPerToken: activationBytes / inputBytesPerMs,
        ...(overheads === undefined ? {} : { overheads }),
      },
    ]
  })
  const links = cluster.links.flatMap((link) => {
    const from = typeof link.from === 'number' ? index.get(link.from) : link.from
    const to = typeof link.to === 'number' ? index.get(link.to) : link.to
    return from === undefined || to === undefined ? [] : [{ ...link, from, to }]
  })
  return { layers, machines, links, activationBytes, tokenBytes, batching }
}

/** The flow problem of a placed fleet, with every link, at the rates of an instance of the same machines. */
export function withAllLinks(
  cluster: HelixCluster,
  model: HelixModel,
  rates: (kind: string) => readonly number[],
): FlowInstance {
  const { layers, activationBytes } = modelFacts[model]
  return {
    layers,
    devices: cluster.kinds.map((kind, index) => ({
      name: String(index),
      kind,
      tokensPerSecondByLayers: rates(kind),
    })),
    links: cluster.links.map(({ from, to, bytesPerMs }) => ({
      from,
      to,
      tokensPerSecond:
        (bytesPerMs * 1000) / (from === 'source' || to === 'sink' ? tokenBytes : activationBytes),
    })),
  }
}

const known = new Map<string, LayerTimes>()

function layerTimes(profile: HelixProfiles[string], promptTokens: number, decodeTokens: number): LayerTimes {
  const points = {
    prompt: profile.prompt_tokens_to_ms_per_layer,
    decode: profile.decode_tokens_to_ms_per_layer,
  }
  const key = JSON.stringify([points, promptTokens, decodeTokens])
  const made = known.get(key) ?? new LayerTimes(points, { promptTokens, decodeTokens })
  known.set(key, made)
  return made
}
