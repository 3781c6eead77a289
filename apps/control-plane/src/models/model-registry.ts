import { basename } from 'node:path'
import { ProblemError } from '@deos/api'
import {
  type DeploymentId,
  DomainError,
  describeError,
  type IdSource,
  type ModelFootprint,
  type ModelId,
  modelId,
  type OrganisationId,
} from '@deos/domain'
import { ggufModelName } from '@deos/engine/weights'
import type { Logger } from '@deos/service'
import type { Claims } from '../cluster/claims.ts'
import type { Database } from '../database/database.ts'
import { isUniqueViolation } from '../database/errors.ts'
import type { EventCause } from '../database/schema/index.ts'
import type { EventStore } from '../events/event-store.ts'
import { publicHubUrl } from './hub.ts'
import { ModelFolders } from './local-model.ts'
import { ModelStore } from './model-store.ts'
import { BlobGoneError, ModelWork } from './model-work.ts'
import { type Lookup, Outgoing } from './outgoing.ts'
import { ProgressWriter } from './progress-writer.ts'
import { type Footprints, isFinal, type RegisteredModel } from './registered-model.ts'

export interface ModelRegistryOptions {
  /** Downloads and blobs lie below it; control planes that share models share it. */
  readonly dataFolder: string
  /** Folders of this machine from which models may be taken. */
  readonly modelFolders: readonly string[]
  /** Hosts outside the public internet that may be called: `host` or `host:port`. */
  readonly allowedHosts: readonly string[]
  /** For organisations that name none. Default: the public one. */
  readonly hubUrl?: string | null
  /** For that hub alone. */
  readonly hubToken?: string | null
}

export interface ModelRegistryParts {
  readonly database: Database
  readonly claims: Pick<Claims, 'tryRun'>
  readonly events: Pick<EventStore, 'tell'>
  readonly ids: IdSource
  readonly now: () => Date
  readonly logger: Logger
  /** Those that use a model. */
  readonly deploymentsOf: (model: ModelId) => readonly DeploymentId[]
  readonly lookup?: Lookup
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>
}

/** Models that are worked on at once by one process. */
const parallel = 2
/** Notices get lost: at least so often everything is looked at. */
const lookMs = 2000

interface RunningWork {
  readonly stop: AbortController
  readonly done: Promise<void>
}

/**
 * Models by id, as of the latest notice, and the work that gets them here. Work on a model is done by one control plane
 * at a time; if that one dies, another goes on.
 */
export class ModelRegistry {
  readonly store: ModelStore
  readonly #work: ModelWork
  readonly #outgoing: Outgoing
  readonly #folders: ModelFolders
  #models: ReadonlyMap<ModelId, RegisteredModel> = new Map()
  readonly #footprints = new Map<ModelId, { readonly digest: string; readonly footprints: Footprints }>()
  readonly #running = new Map<ModelId, RunningWork>()
  /** Models that were begun since the last look. */
  readonly #tried = new Set<ModelId>()
  readonly #listeners = new Set<() => void>()
  #stopListening: () => void = () => {}
  #timer: NodeJS.Timeout | null = null
  #looking: Promise<void> | null = null
  #lookAgain = false
  #stopped = true

  constructor(
    options: ModelRegistryOptions,
    private readonly parts: ModelRegistryParts,
  ) {
    const { dataFolder, modelFolders, allowedHosts, hubUrl, hubToken } = options
    const { database, events, now, lookup, sleep } = parts
    this.store = new ModelStore({ database, events, now })
    this.#folders = new ModelFolders(modelFolders)
    this.#outgoing = new Outgoing({ allowedHosts, ...(lookup ? { lookup } : {}) })
    this.#work = new ModelWork({
      ...{ store: this.store, outgoing: this.#outgoing, folders: this.#folders, dataFolder },
      hub: { url: hubUrl ?? publicHubUrl, token: hubToken ?? null },
      ...(sleep ? { sleep } : {}),
    })
  }

  async start(): Promise<void> {
    this.#stopped = false
    this.#stopListening = this.parts.database.listen('models', () => void this.#look())
    this.#timer = setInterval(() => void this.#look(), lookMs)
    await this.#look()
  }

  /** Work that is not done is taken up at the next start, or by another control plane. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#stopListening()
    if (this.#timer) clearInterval(this.#timer)
    await this.#looking
    for (const { stop } of this.#running.values()) stop.abort(new Error('The control plane stops.'))
    await Promise.all([...this.#running.values()].map(({ done }) => done))
    await this.#outgoing.close()
  }

  /** From memory; null if there is none or it was removed. */
  modelOf(id: ModelId): RegisteredModel | null {
    return this.#models.get(id) ?? null
  }

  /** From memory; null while it is not known, and for a precision that the model cannot be held in. */
  footprint(id: ModelId, precision: string): ModelFootprint | null {
    const footprints = this.#footprints.get(id)?.footprints
    return footprints !== undefined && Object.hasOwn(footprints, precision) ? footprints[precision]! : null
  }

  /** @returns stops telling */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  deploymentsOf(id: ModelId): readonly DeploymentId[] {
    return this.parts.deploymentsOf(id)
  }

  /**
   * @throws ModelSourceError, OutgoingRefusedError if it is plain that the source is not open; ProblemError if the name
   *   is taken
   */
  async create(
    organisation: OrganisationId,
    wanted: Pick<RegisteredModel, 'source' | 'wantedDigest'> & { readonly name: string | null },
    cause: EventCause,
  ): Promise<RegisteredModel> {
    const { source, wantedDigest } = wanted
    if (source.kind === 'path') await this.#folders.open(source.path)
    else if (source.hubUrl !== null) this.#outgoing.check(source.hubUrl)
    const name = wanted.name ?? nameOf(source)
    const id = modelId(this.parts.ids.next('model'))
    try {
      await this.store.insert({ id, organisation, name, source, wantedDigest }, cause)
    } catch (error) {
      if (!isUniqueViolation(error)) throw error
      throw new ProblemError('conflict', `There is a model called ${name} already.`, {
        code: 'MODEL_NAME_TAKEN',
        hint: 'Give this one another name, or remove the other.',
      })
    }
    return this.#reloaded(id)
  }

  /**
   * A model of this machine's, made known at the start: once, however often it is called. If it lies elsewhere than
   * before, it is read again.
   */
  async registerLocal(organisation: OrganisationId, path: string, name: string): Promise<ModelId> {
    const cause: EventCause = { kind: 'system' }
    const source = { kind: 'path', path } as const
    const found = await this.store.findByName(organisation, name)
    if (found === null)
      return (await this.create(organisation, { source, name, wantedDigest: null }, cause)).id
    const same = found.source.kind === 'path' && found.source.path === path
    if (!same || found.state === 'failed') await this.store.restart(found, cause, source)
    await this.#look()
    return found.id
  }

  /** @throws ProblemError unless the model has failed */
  async retry(model: RegisteredModel, cause: EventCause): Promise<RegisteredModel> {
    if (model.state !== 'failed') {
      throw new ProblemError('conflict', `${model.name} has not failed; it is ${model.state}.`, {
        code: 'MODEL_NOT_FAILED',
        hint: 'Only what failed can go on.',
      })
    }
    await this.store.restart(model, cause)
    return this.#reloaded(model.id)
  }

  /** @throws ProblemError while a deployment uses it */
  async remove(model: RegisteredModel, cause: EventCause): Promise<void> {
    const users = this.parts.deploymentsOf(model.id)
    if (users.length > 0) {
      throw new ProblemError(
        'conflict',
        `${model.name} is used by ${users.length} deployments: ${users.join(', ')}.`,
        {
          code: 'MODEL_IN_USE',
          hint: 'Remove them first.',
        },
      )
    }
    await this.store.remove(model, cause)
    const running = this.#running.get(model.id)
    running?.stop.abort(new Error('The model was removed.'))
    await running?.done
    await this.#work.discard(model)
    await this.store.collectBlobs(this.#work.discardBlob)
    await this.#look()
  }

  async #reloaded(id: ModelId): Promise<RegisteredModel> {
    await this.#look()
    const model = await this.store.find(id)
    if (model !== null) return model
    throw new ProblemError('not-found', 'The model was removed.')
  }

  /** Brings memory up to date, and begins what waits. One look at a time; what comes meanwhile is looked at after. */
  #look(): Promise<void> {
    this.#lookAgain = true
    this.#looking ??= this.#lookWhileAsked()
    return this.#looking
  }

  async #lookWhileAsked(): Promise<void> {
    // Not before `#looking` is set.
    await Promise.resolve()
    while (this.#lookAgain) {
      this.#lookAgain = false
      try {
        await this.#lookOnce()
      } catch (error) {
        this.parts.logger.warn({ err: error }, 'Models could not be read; they are looked at again.')
      }
    }
    this.#looking = null
  }

  async #lookOnce(): Promise<void> {
    const models = new Map((await this.store.all()).map((model) => [model.id, model]))
    for (const { id, state, digest } of models.values()) {
      if (state !== 'ready' || digest === null || this.#footprints.get(id)?.digest === digest) continue
      const footprints = await this.store.footprints(id)
      if (footprints) this.#footprints.set(id, { digest, footprints })
    }
    for (const id of this.#footprints.keys()) if (!models.has(id)) this.#footprints.delete(id)
    this.#models = models
    for (const [id, { stop }] of this.#running) {
      if (!models.has(id)) stop.abort(new Error('The model was removed.'))
    }
    for (const listener of [...this.#listeners]) listener()
    this.#tried.clear()
    this.#beginWaiting()
  }

  /** Begins what waits, as far as there is room; each model once until the next look. */
  #beginWaiting(): void {
    for (const { id, state } of this.#models.values()) {
      if (this.#stopped || this.#running.size >= parallel) return
      if (isFinal(state) || this.#running.has(id) || this.#tried.has(id)) continue
      this.#tried.add(id)
      this.#begin(id)
    }
  }

  #begin(id: ModelId): void {
    const stop = new AbortController()
    const done = this.#runClaimed(id, stop.signal)
      .catch((error: unknown) => {
        this.parts.logger.warn({ err: error, model: id }, 'Work on a model broke off.')
        return false
      })
      .then((wasOurs) => {
        this.#running.delete(id)
        if (this.#stopped) return
        if (wasOurs) void this.#look()
        // Another control plane has it: there is room for something else.
        else this.#beginWaiting()
      })
    this.#running.set(id, { stop, done })
  }

  /** @returns whether it was this process's to do */
  async #runClaimed(id: ModelId, signal: AbortSignal): Promise<boolean> {
    const wasOurs = await this.parts.claims.tryRun(`model:${id}`, async () => {
      // Another may have finished it before this one got the claim.
      const model = await this.store.find(id)
      if (model !== null && !isFinal(model.state)) await this.#run(model, signal)
      return true
    })
    return wasOurs ?? false
  }

  async #run(model: RegisteredModel, signal: AbortSignal): Promise<void> {
    const writer = new ProgressWriter(model, this.store, this.parts.now)
    const either = AbortSignal.any([signal, writer.removed])
    try {
      await this.#work.run(model, writer.report, either)
    } catch (error) {
      await writer.close()
      if (writer.removed.aborted) return this.#work.discard(model)
      if (signal.aborted || error instanceof BlobGoneError) return
      if (!(error instanceof DomainError)) {
        this.parts.logger.error({ err: error, model: model.id }, 'The work on a model failed.')
      }
      const reason = error instanceof DomainError ? describeError(error) : unexpected
      await this.store.fail(model, reason.slice(0, 2000))
    } finally {
      await writer.close()
    }
  }
}

const unexpected = 'Something unexpected went wrong; the log of the control plane says what. Try again.'

/** Characters that names of models may have. */
function nameOf(source: RegisteredModel['source']): string {
  if (source.kind === 'huggingface' && source.file === null) return source.repository
  const path = source.kind === 'path' ? source.path : source.file!
  const stem = path.endsWith('.gguf') ? ggufModelName(path) : basename(path)
  const name = stem
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/\.{2,}/g, '.')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 96)
  return name === '' ? 'model' : name
}
