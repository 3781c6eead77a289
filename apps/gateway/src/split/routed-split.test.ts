import { defaultSampling, modelId, seededRandom, workerId } from '@deos/domain'
import type { RingStatus } from '@deos/protocol'
import type { ImportHandlers } from '@deos/transport'
import { expect, test } from 'vitest'
import type { GenerateRequest } from '../inference/backend.ts'
import { RingBackend } from '../inference/ring-backend.ts'
import { Replica, type RingSession, type RoutedReplica } from '../routing/replica.ts'
import { sayTo } from '../testing/instant-ring.ts'
import { targetOf } from '../testing/scripted-control-plane.ts'
import { noUsage } from '../testing/scripted-ring.ts'
import { type RequestSplit, RoutedSplit } from './routed-split.ts'
import type { StageLinks } from './stage-links.ts'

const clock = { now: () => 0 as ReturnType<ConstructorParameters<typeof Replica>[4]['now']> }
const capacity = { kvPages: 100, pageTokens: 16, contextLength: 512, maxBatchTokens: 512 }
const statusOf = (name: string): RingStatus => ({
  ...{ type: 'status', ready: true, epoch: 1, active: 0, queued: 0, usage: noUsage },
  reports: [
    {
      ...{ worker: workerId(name), stage: 0, layers: [0, 4], model: modelId('bytes') },
      ...{ kvPagesFree: 90, capacity, calibration: null, kv: null },
    },
  ],
})
const noLinks = {
  ...{ peers: [], listen: () => () => undefined, send: () => undefined },
  ...{ addressOf: () => null, door: () => null },
} as unknown as StageLinks

interface Played {
  readonly asked: string[]
  ready: boolean
  /** What a decode ring says to whoever wants pages. */
  onImport: (handlers: ImportHandlers) => void
}

function replicaOf(listing: RoutedReplica): { readonly replica: Replica; readonly played: Played } {
  const played: Played = {
    ...{ asked: [], ready: true },
    onImport: (handlers) => handlers.onFailed('There are no pages.'),
  }
  const connection: Pick<RingSession, 'ready' | 'status' | 'generate' | 'cancel'> &
    NonNullable<RingSession['handover']>['connection'] = {
    get ready() {
      return played.ready
    },
    status: statusOf(listing.ring),
    generate: (request, handlers) => {
      played.asked.push(`generate ${request.maxTokens}`)
      if (request.maxTokens > 0) sayTo(request, handlers, 'hello')
    },
    cancel: () => played.asked.push('cancel'),
    spare: (id) => played.asked.push(`spare ${id}`),
    import: (_, handlers) => played.onImport(handlers),
    endImport: (_, position) => played.asked.push(`end ${position}`),
  }
  const session: RingSession = {
    get ready() {
      return played.ready
    },
    ...{ status: connection.status, start: () => undefined, stop: async () => undefined },
    generate: connection.generate,
    cancel: connection.cancel,
    handover: { ring: listing.ring, connection, links: noLinks },
  }
  return { replica: new Replica('deployment', 'bytes', listing, session, clock), played }
}

function pair({ prefillReady = true, split = 'always' as 'always' | 'auto' } = {}) {
  const target = targetOf({ rings: ['p', 'd'], roles: { p: 'prefill', d: 'decode' } })
  const [prefill, decode] = target.replicas.map(replicaOf)
  prefill!.played.ready = prefillReady
  const released: Replica[] = []
  const told: RequestSplit[] = []
  const routed = new RoutedSplit(
    {
      split,
      splitBlockTokens: 16,
      splitDeadlineMs: 1_000,
      kvExposedMs: 0,
      kvGoodputBytes: 0,
      kvEnhanceMs: 0,
    },
    {
      pool: {
        of: () => [prefill!.replica, decode!.replica],
        released: (replica) => {
          replica.released()
          released.push(replica)
        },
      },
      codingOf: () => ({ mode: 'lossless', calibration: null }),
      ...{ random: seededRandom(1), now: () => 0, onNote: () => undefined },
    },
  )
  const answer = async (length: number): Promise<string[]> => {
    const ring = new RingBackend(decode!.replica.session!, {
      ...{ model: null, maxInterruptions: 0, onInterrupted: () => undefined },
    })
    const request: GenerateRequest = {
      ...{ id: `r${told.length}`, tokens: new Int32Array(length).fill(65), tenant: 't', priority: 0 },
      ...{ needs: { adapter: null, grammar: null }, deadlineMs: 0, maxTokens: 20, stopTokens: [] },
      sampling: defaultSampling,
    }
    const backend = routed.backendOf(decode!.replica, ring, 'key', (outcome) => told.push(outcome))
    const finishes: string[] = []
    for await (const { finish } of backend.generate(request, AbortSignal.timeout(5_000))) {
      if (finish !== null) finishes.push(finish)
    }
    return finishes
  }
  return { prefill: prefill!, decode: decode!, routed, answer, told, released }
}

test('a hand-over that comes to nothing leaves the answer, and its reason to the record', async () => {
  const { answer, told, decode, prefill, routed } = pair()
  decode.played.onImport = (handlers) => handlers.onFailed('There are\u0000 no pages.')
  expect(await answer(100)).toEqual(['stop'])
  expect(told).toEqual([
    {
      ...{ used: false, reason: 'There are  no pages.', prefillReplicaId: prefill.replica.id },
      ...{ tokens: 0, bytes: 0, levels: [], refusals: 0, enhancement: null },
    },
  ])
  expect(prefill.played.asked).toEqual([])
  expect(routed.counts).toEqual({ used: 0, unused: 1, tokens: 0, bytes: 0, lossy: 0, refused: 0 })
})

test('a replica counts the prompts that it computes as its own until they are over', async () => {
  const { answer, told, decode, prefill, released } = pair()
  let open = 0
  decode.played.onImport = (handlers) => {
    handlers.onReady(0, 96)
    open = prefill.replica.open
    handlers.onFailed('The pages were needed.')
  }
  expect(await answer(100)).toEqual(['stop'])
  expect(open).toBe(1)
  expect(prefill.replica.open).toBe(0)
  expect(released).toEqual([prefill.replica])
  expect(prefill.played.asked).toEqual(['generate 0', 'cancel'])
  expect(told).toMatchObject([{ used: false }])
})

test('what is too short, measured, or without anybody is computed where it is decoded', async () => {
  const short = pair()
  await short.answer(10)
  expect(short.told).toMatchObject([{ used: false, reason: expect.stringContaining('16 of a block') }])
  const measured = pair({ split: 'auto' })
  await measured.answer(100)
  expect(measured.told).toMatchObject([{ used: false, reason: expect.stringContaining('measured') }])
  const alone = pair({ prefillReady: false })
  await alone.answer(100)
  expect(alone.told).toMatchObject([
    { used: false, prefillReplicaId: null, reason: 'No replica that computes prompts is ready.' },
  ])
})
