import { freemem } from 'node:os'
import { resolve } from 'node:path'
import type { KvType } from '@deos/engine/kv-type'
import { describeModel, type ModelDescription, openModel } from '@deos/engine/weights'
import { cacheFolder } from '../package-root.ts'
import { isInstruct, readChatTemplate } from '../ring/chat-template.ts'
import { planRing, type RingPlan } from '../ring/ring-plan.ts'
import { checkModel, type ServedPlan } from '../ring/served-plan.ts'
import type { ServingSettings } from '../ring/serving-settings.ts'
import type { WorkerProfile } from '../ring/worker-profiles.ts'
import { checkModelId, modelIdOf } from './model-path.ts'

export interface LocalPlanRequest {
  readonly modelPath: string
  /** `null` takes it from the path. */
  readonly name: string | null
  readonly profiles: readonly WorkerProfile[]
  /** With one stage for each profile, or null to divide by their speeds. */
  readonly planned: ServedPlan | null
  /** Which of how many rings, which share memory; left out for the only one. */
  readonly replica?: { readonly index: number; readonly of: number }
  /** `null` takes the plan's, or leaves weights as they are. */
  readonly weightType: string | null
  readonly kvType: KvType | 'auto'
  readonly contextLength: number | null
  readonly kvBytes: number | null
  readonly threads: number
  readonly device: string | null
  /** `null` takes the plan's, or as many as is usual. */
  readonly maxSessions: number | null
  readonly maxQueued: number
  readonly serving: ServingSettings
}

export interface LocalPlan {
  readonly plan: RingPlan
  readonly description: ModelDescription
  readonly instruct: boolean
}

const USUAL_SESSIONS = 64
const SPARE_SHARE = 0.25
const MOST_SPARE_BYTES = 4 * 2 ** 30

/** Memory a command takes for KV caches without being asked: a quarter of what is free, at most 4 GiB. */
const spareMemory = (): number =>
  Math.min(MOST_SPARE_BYTES, Math.floor(Math.min(freemem(), process.availableMemory()) * SPARE_SHARE))

/** Opens a model and decides which worker of this machine holds what. @throws the model's errors, UsageError */
export async function planLocalRing(request: LocalPlanRequest): Promise<LocalPlan> {
  const path = resolve(request.modelPath)
  const source = await openModel(path, { vocabulary: false })
  const description = describeModel(source)
  const id = checkModelId(request.name ?? modelIdOf(path))
  const { profiles, planned, replica, kvBytes, threads, device } = request
  const { config } = source
  if (planned !== null && planned.model !== null) checkModel(planned.model, config)
  const plannedContext = planned?.contextLength ?? null
  const plan = planRing({
    ring: `${id.replaceAll('/', '-')}-${process.pid}${replica === undefined ? '' : `-${replica.index}`}`,
    ...(replica === undefined ? {} : { replica: replica.index }),
    model: { id, path },
    config,
    profiles,
    stages: planned?.stages ?? null,
    weightType: request.weightType ?? planned?.weightType ?? 'native',
    kvType: request.kvType === 'auto' ? (planned?.kvType ?? 'auto') : request.kvType,
    contextLength:
      request.contextLength ??
      (plannedContext === null ? null : Math.min(plannedContext, config.contextLength)),
    kvBytes: kvBytes === null ? null : Math.floor(kvBytes / (replica?.of ?? 1)),
    spareBytes: Math.floor(spareMemory() / (replica?.of ?? 1)),
    threads,
    device,
    cacheDir: cacheFolder(),
    maxSessions: request.maxSessions ?? planned?.maxSessions ?? USUAL_SESSIONS,
    maxQueued: request.maxQueued,
    serving: request.serving,
  })
  return { plan, description, instruct: isInstruct(await readChatTemplate(source)) }
}
