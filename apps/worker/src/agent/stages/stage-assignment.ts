import type { ApiClient } from '@deos/sdk'
import type { Assignment } from '../../assignment.ts'
import type { FetchedModel } from './model-store.ts'

/** A stage as the control plane assigns it. */
export type StageAssignment = Awaited<ReturnType<ApiClient['worker']['assignments']>>['assignments'][number]

export interface StageSettings {
  /** Where stages accept links. */
  readonly listenHost: string
  readonly threads: number
  readonly speed: number
  /** Converted weights are kept there. */
  readonly cacheDir: string
  /** File of the machine's key. */
  readonly machineKey: string
  /** Where the stage waits for others, a place for this stage alone; null where others can dial. */
  readonly relay: string | null
}

/** Tokens of one step. */
const MAX_BATCH_TOKENS = 512
/** Short sessions take less than the longest for which KV memory was planned; pages alone limit them. */
const FEWEST_SESSIONS = 64
const MAX_QUEUED = 256
/** Taken only where a prefill replica hands over. */
const KV_STORE_BYTES = 64 * 2 ** 20

/** What the process of a stage is told, but for where to listen. */
export const workerAssignment = (
  assignment: StageAssignment,
  { path, calibration }: FetchedModel,
  { threads, speed, cacheDir, machineKey, relay }: StageSettings,
): Omit<Assignment, 'listen' | 'weightType'> & { readonly weightType: string } => ({
  worker: assignment.stageId,
  ring: assignment.ring,
  stage: assignment.position,
  stages: assignment.stages,
  layers: assignment.layers,
  // Stages of a fleet are computed by one machine.
  split: { tensor: 1, experts: 1, context: 1 },
  rank: 0,
  model: { id: assignment.model.name, path, fingerprint: assignment.model.fingerprint },
  weightType: assignment.precision,
  kvType: 'auto',
  kvBytes: assignment.kvBytes,
  kvStoreBytes: KV_STORE_BYTES,
  calibration,
  contextLength: assignment.contextTokens,
  maxBatchTokens: MAX_BATCH_TOKENS,
  activations: assignment.activations,
  threads,
  device: assignment.device,
  cacheDir,
  machineKey,
  relay,
  adapters: [],
  speed,
  microbatches: assignment.stages,
  maxSessions: Math.max(FEWEST_SESSIONS, assignment.sessions),
  maxQueued: MAX_QUEUED,
  prefixCache: true,
  prefillChunkTokens: 'auto',
})
