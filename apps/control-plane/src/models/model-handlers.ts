import {
  type AnswerOf,
  cursorFormat,
  type Handlers,
  ProblemError,
  type Routes,
  type StreamEvent,
} from '@deos/api'
import type { ModelId } from '@deos/domain'
import { z } from 'zod'
import { type Caller, organisationOf } from '../http/caller.ts'
import type { BlobReader } from './blob-reader.ts'
import type { ModelRegistry } from './model-registry.ts'
import { isFinal, type RegisteredModel } from './registered-model.ts'

type ModelAnswer = AnswerOf<Routes['models']['show']>

/** A stream looks at its model at least so often. */
const watchMs = 5000
const cursors = cursorFormat('models', z.tuple([z.string().max(200)]))

/** The API's group `models`. */
export function modelHandlers(registry: ModelRegistry): Pick<Handlers<Routes, Caller>, 'models'> {
  const answer = (model: RegisteredModel) => modelAnswer(model, registry.deploymentsOf(model.id))
  return {
    models: {
      async list({ query: { cursor, limit, name, state } }, caller) {
        const after = cursor === undefined ? null : cursors.decode(cursor)[0]
        const found = await registry.store.page(organisationOf(caller), { name, state }, after, limit + 1)
        const items = found.slice(0, limit)
        const last = items.at(-1)
        const nextCursor = found.length > limit && last ? cursors.encode([last.name]) : null
        return { items: items.map(answer), nextCursor }
      },
      async create({ body: { name, source, digest } }, caller) {
        const wanted = { name: name ?? null, source, wantedDigest: digest }
        return answer(await registry.create(organisationOf(caller), wanted, caller.cause))
      },
      show: async ({ params }, caller) => answer(await ownModel(registry, params.model, caller)),
      async *watch({ params }, caller) {
        await ownModel(registry, params.model, caller)
        yield* watchModel(registry, params.model, caller.signal)
      },
      async retry({ params }, caller) {
        return answer(await registry.retry(await ownModel(registry, params.model, caller), caller.cause))
      },
      async remove({ params }, caller) {
        await registry.remove(await ownModel(registry, params.model, caller), caller.cause)
        return undefined
      },
    },
  }
}

/** `worker.pieces` and `worker.blob`. */
export const workerBlobHandlers = (
  reader: BlobReader,
): Pick<Handlers<Routes, Caller>['worker'], 'pieces' | 'blob'> => ({
  pieces: ({ params }, caller) => reader.pieces(params.digest, organisationOf(caller)),
  blob: ({ params }, caller) => reader.bytes(params.digest, organisationOf(caller)),
})

/** `gateway.pieces` and `gateway.blob`: gateways serve all organisations. */
export const gatewayBlobHandlers = (
  reader: BlobReader,
): Pick<Handlers<Routes, Caller>['gateway'], 'pieces' | 'blob'> => ({
  pieces: ({ params }) => reader.pieces(params.digest, null),
  blob: ({ params }) => reader.bytes(params.digest, null),
})

async function ownModel(registry: ModelRegistry, id: ModelId, caller: Caller): Promise<RegisteredModel> {
  const model = await registry.store.find(id)
  if (model !== null && model.organisation === organisationOf(caller)) return model
  throw new ProblemError('not-found', `There is no model ${id}.`)
}

/** The model now and whenever it has changed, until nothing more will happen to it. */
async function* watchModel(
  registry: ModelRegistry,
  id: ModelId,
  signal: AbortSignal,
): AsyncGenerator<StreamEvent<ModelAnswer>> {
  let changed = true
  let wake = () => {}
  const stop = registry.onChange(() => {
    changed = true
    wake()
  })
  const onAbort = () => wake()
  signal.addEventListener('abort', onAbort)
  let told = ''
  try {
    while (!signal.aborted) {
      if (!changed) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, watchMs)
          wake = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      }
      if (signal.aborted) return
      changed = false
      const model = await registry.store.find(id)
      if (model === null) return
      const data = modelAnswer(model, registry.deploymentsOf(id))
      const text = JSON.stringify(data)
      if (text !== told) yield { id: null, data }
      told = text
      if (isFinal(model.state)) return
    }
  } finally {
    stop()
    signal.removeEventListener('abort', onAbort)
  }
}

export function modelAnswer(
  model: RegisteredModel,
  deployments: ReturnType<ModelRegistry['deploymentsOf']>,
): ModelAnswer {
  const { id, name, source, state, reason, reasonSince, progress, shape, sizeBytes, digest, createdAt } =
    model
  return {
    ...{ id, name, source, state, progress, shape, sizeBytes, digest, deployments },
    reason: { message: reason, since: reasonSince.toISOString() },
    createdAt: createdAt.toISOString(),
  }
}
