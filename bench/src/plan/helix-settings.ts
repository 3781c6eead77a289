import type { ClosedWorkload } from '@deos/simulator'
import type { HelixModel } from './helix-cluster.ts'

export type HelixSite = 'single24' | 'geo24'
export type HelixMethod = 'Helix' | 'Swarm' | 'Separate Pipelines'
export type ServingMode = 'offline' | 'online'

/** One line of the published table. */
export interface HelixRow {
  readonly site: HelixSite
  readonly model: HelixModel
  readonly mode: ServingMode
  readonly method: HelixMethod
}

/** Of a run, what counts, in seconds. */
export interface Seconds {
  readonly from: number
  readonly to: number
}

/** As in the authors' step3_simulation.py. */
export const seconds: Readonly<Record<ServingMode, Seconds>> = {
  offline: { from: 60, to: 660 },
  online: { from: 0, to: 1800 },
}
/** When requests of an offline batch are let in, and up to what share of its KV cache a machine takes them. */
export interface Admission {
  readonly refill: ClosedWorkload['refill']
  readonly kvMost: number
}

export const helixAdmission: Admission = { refill: { by: 'fill', kvMost: 0.8 }, kvMost: 0.85 }
export const machineKinds = ['a100', 'l4', 't4'] as const

/** Requests at once offline, tokens/s that arrive online. */
export type Load = readonly [number, number]

/** From the authors' step3_simulation.py; Helix and separate pipelines by kind of machine. */
export const loads: Readonly<
  Record<HelixSite, Readonly<Record<HelixModel, Readonly<Record<HelixMethod, readonly Load[]>>>>>
> = {
  single24: {
    llama1_30b: {
      Helix: [
        [20, 600],
        [20, 200],
        [20, 170],
      ],
      Swarm: [[50, 450]],
      'Separate Pipelines': [
        [30, 500],
        [25, 150],
        [25, 150],
      ],
    },
    llama2_70b: {
      Helix: [[20, 700]],
      Swarm: [[180, 350]],
      'Separate Pipelines': [
        [18, 240],
        [40, 120],
        [3, 10],
      ],
    },
  },
  geo24: {
    llama1_30b: {
      Helix: [
        [20, 560],
        [20, 140],
        [20, 140],
      ],
      Swarm: [[60, 380]],
      'Separate Pipelines': [
        [35, 520],
        [40, 100],
        [40, 140],
      ],
    },
    llama2_70b: {
      Helix: [[20, 320]],
      Swarm: [[180, 160]],
      'Separate Pipelines': [
        [1, 1],
        [60, 120],
        [50, 60],
      ],
    },
  },
}

/** Of stages with more layers than were measured, tokens for each layer: the authors' cluster files. */
export const forcedKv: Readonly<Record<HelixSite, Readonly<Record<string, number>>>> = {
  single24: { 'a100/20': 491_900 / 20, 'l4/10': 593_600 / 10, 't4/6': 216_960 / 6, 't4/7': 44_800 / 7 },
  geo24: { 'a100/20': 35_200 / 20, 'l4/10': 786_080 / 10, 't4/6': 794_976 / 6, 't4/7': 456_960 / 7 },
}

/** First layers where the authors' pipelines over slow links do not follow the order of the machines. */
export const separateFirst: Readonly<Record<string, readonly number[]>> = {
  'geo24/llama1_30b/l4': [32, 8, 24, 39, 0, 16, 53, 46],
  'geo24/llama2_70b/t4': [62, 0, 35, 42, 56, 21, 74, 49, 14, 7, 28, 68],
}

export const clusterFolder = { single24: 'single_cluster', geo24: 'distributed_clusters' } as const
export const clusterFile = { single24: 'cluster24', geo24: '3cluster24' } as const

/** As in the authors' step5_start_host.py and step7_parse_results.py: five minutes, and in part other loads. */
export function prototypeSettings({ model, mode, method }: HelixRow): {
  readonly window: Seconds
  readonly load: (simulated: Load) => Load
} {
  const late = model === 'llama2_70b' && mode === 'online'
  return {
    window: { from: late ? 200 : 60, to: 300 },
    load: ([initial, tokensPerSecond]) => [
      model === 'llama1_30b' && method === 'Separate Pipelines' ? 30 : initial,
      late && method !== 'Separate Pipelines' ? tokensPerSecond * 2 : tokensPerSecond,
    ],
  }
}

/** Limits of a pass in vLLM 0.4 as the prototype starts it; steps have none that these loads reach. */
export const prototypeLimits = {
  promptRequests: 256,
  promptTokens: 4096,
  decodeRequests: 1000,
  decodeContext: 1e9,
}

/**
 * Host time of the prototype's passes, fitted to five runs that its authors recorded as examples
 * (examples/real_sys/result in their repository) and that are none of the published rows: replaying their requests gives
 * decode percentiles and throughput within 2% on average with these, 7% without (`sim.helix.recorded` in the bench).
 */
export const prototypeOverheads = { passMs: 1, stepLayerMs: 0.06 }
