import {
  defaultSampling,
  type KvLayerLayout,
  type KvSlice,
  type KvSliceWrite,
  ringId,
  sessionId,
} from '@deos/domain'
import {
  type EngineSession,
  type EngineStepResult,
  isKvMessage,
  KV_ID_BYTES,
  type KvMessage,
  type KvPlan,
  plainNeeds,
  type StageEngine,
} from '@deos/protocol'
import {
  guestKey,
  type Link,
  linkIdentity,
  ringNetwork,
  systemTimers,
  TcpTransport,
  unknownEstimates,
} from '@deos/transport'
import { afterEach, expect, test, vi } from 'vitest'
import { KvBlockStore } from '../kv-store/index.ts'
import { BlockCodec } from './codec-client.ts'
import { KvExchange } from './kv-exchange.ts'

const PAGE_TOKENS = 4
const ROW_BYTES = 8
const layers = { first: 0, end: 2 }
const layout: KvLayerLayout = {
  ...{ key: { heads: 1, dim: 4 }, value: { heads: 1, dim: 4 }, valueDimsInKey: 0 },
  ...{ rotation: null, reach: null },
}
const session = sessionId('s')
const ring = ringId('decode')
const secret = new Uint8Array(32).fill(7)

/** Cells of two layers; reads and writes can be held up. */
class CellEngine implements StageEngine {
  readonly capacity = { kvPages: 8, pageTokens: PAGE_TOKENS, contextLength: 32, maxBatchTokens: 16 }
  readonly kv = { layers, type: 'bytes', layouts: [layout, layout] }
  readonly cells = new Map<string, Uint8Array>()
  /** Awaited in every call. */
  gate: Promise<void> = Promise.resolve()
  reads = 0
  /** Writes that were asked for, and those that were done. */
  asked = 0
  writes = 0
  /** Writes that came when nobody wanted them any more. */
  refused = 0
  /** Writes into pages that sessions may hold. */
  refined = 0

  async readKv({ layer, part, pages, positions }: KvSlice): Promise<Uint8Array> {
    this.reads += 1
    await this.gate
    const all = pages.flatMap((page) => [...this.#page(layer, part, page)])
    return Uint8Array.from(all.slice(positions.first * ROW_BYTES, positions.end * ROW_BYTES))
  }

  async writeKv(slice: KvSliceWrite, isWanted?: () => boolean): Promise<void> {
    this.asked += 1
    await this.gate
    if (isWanted?.() === false) {
      this.refused += 1
      throw new Error('not wanted')
    }
    this.writes += 1
    if (slice.refines === true) this.refined += 1
    const { layer, part, pages, positions, data } = slice
    for (let at = positions.first; at < positions.end; at++) {
      const row = data.subarray((at - positions.first) * ROW_BYTES, (at - positions.first + 1) * ROW_BYTES)
      const page = this.#page(layer, part, pages[Math.floor(at / PAGE_TOKENS)]!)
      page.set(row, (at % PAGE_TOKENS) * ROW_BYTES)
    }
  }

  prepare = async () => undefined
  open = () => undefined
  close = () => undefined
  reset = async () => undefined
  freePages = async () => 8
  stop = async () => undefined
  step = async (): Promise<EngineStepResult> => {
    throw new Error('nothing is computed here')
  }

  #page(layer: number, part: string, page: number): Uint8Array {
    const key = `${layer} ${part} ${page}`
    const found = this.cells.get(key) ?? new Uint8Array(PAGE_TOKENS * ROW_BYTES)
    this.cells.set(key, found)
    return found
  }
}

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

/** A gateway's link to a worker, and what came over it. */
function gatewayLink() {
  const heard: KvMessage[] = []
  const link: Link = {
    ...{ peer: 'g', role: 'gateway', estimates: unknownEstimates, path: 'direct' },
    send: (message) => {
      if (isKvMessage(message)) heard.push(message)
      return true
    },
    drained: async () => undefined,
    close: () => undefined,
  }
  return { link, heard }
}

async function side(worker: string) {
  const engine = new CellEngine()
  const notes: string[] = []
  const exchange = new KvExchange({
    ...{ worker, network: ringNetwork(null), timers: systemTimers, random: { next: () => 0.5 } },
    codec: new BlockCodec('no thread is needed for blocks this small'),
    store: await KvBlockStore.open({ memoryBytes: 1 << 20, disk: null }),
    computeUs: () => 1_000,
    onNote: (_, text) => notes.push(text),
  })
  exchange.attach(engine)
  stops.push(() => exchange.stop())
  const { link, heard } = gatewayLink()
  const gateway = exchange.accept(link)
  return { engine, exchange, heard, notes, say: (message: KvMessage) => gateway.message(message) }
}

const plan = (role: 'send' | 'receive', overrides: Partial<KvPlan> = {}): KvPlan => ({
  ...{ type: 'kv-plan', epoch: 1, session, role, layers, levels: [0, 0], enhanceTo: null, calibration: null },
  ...{ shape: { length: 8, blockTokens: 4, parts: 2 }, maxBlockBytes: 1_024, deadlineMs: 10_000 },
  routes: [{ peer: role === 'send' ? 'd' : 'p', layers }],
  ids: Uint8Array.from({ length: 2 * KV_ID_BYTES }, (_, at) => at),
  ...overrides,
})

const prompt: EngineSession = {
  ...{ key: 3, tokens: Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8), resumed: 0, maxTokens: 0 },
  ...{ sampling: { ...defaultSampling }, needs: plainNeeds, pooling: null, cachedTokens: 0, pages: [] },
  trace: null,
}

/** A stage that computes and one that will decode, with a door between them. */
async function pair() {
  const from = await side('p')
  const to = await side('d')
  const transport = new TcpTransport({ identity: linkIdentity('worker', 'd', ring), secret })
  stops.push(() => transport.stop())
  const address = await transport.listen('127.0.0.1:0', (link) => {
    const guest = to.exchange.accept(link)
    return {
      onMessage: (message) => {
        if (isKvMessage(message)) guest.message(message)
      },
      onClose: (reason) => guest.closed(reason),
    }
  })
  const key = guestKey(secret, ring, 'p')
  from.say({ type: 'kv-introduce', epoch: 0, session, peer: 'd', ring, address, key })
  return { from, to }
}

type Pair = Awaited<ReturnType<typeof pair>>

function compute({ from }: Pair): void {
  for (const page of [5, 6]) {
    for (const layer of [0, 1]) {
      for (const part of ['key', 'value']) {
        const value = 100 * layer + 10 * page + (part === 'key' ? 1 : 2)
        from.engine.cells.set(`${layer} ${part} ${page}`, new Uint8Array(PAGE_TOKENS * ROW_BYTES).fill(value))
      }
    }
  }
  from.exchange.opened(session, prompt)
  from.exchange.computed([{ key: 3, position: 0, count: 8, sample: false, pages: [5, 6] }])
}

function take({ to }: Pair, key: number, pages: readonly number[]): void {
  to.exchange.imports({ type: 'import-opened', key, session, gateway: 'g', first: 0, end: 8, pages })
}

const ask: KvMessage = { type: 'kv-commit', epoch: 1, session, partial: false, levels: [0, 0] }
const said = (heard: readonly KvMessage[], type: KvMessage['type']) =>
  vi.waitFor(() => {
    const found = heard.find((message) => message.type === type)
    if (found === undefined) throw new Error(`nobody said ${type}`)
    return found
  })

async function handOver(both: Pair, pages: readonly number[]): Promise<void> {
  take(both, 1, pages)
  both.to.say(plan('receive'))
  both.to.say(ask)
  both.from.say(plan('send'))
  await said(both.to.heard, 'kv-committed')
}

test('what was computed lies in the pages of the import when it is promised, and is let go of when told', async () => {
  const both = await pair()
  compute(both)
  await handOver(both, [1, 2])
  for (const [page, source] of [
    [1, 5],
    [2, 6],
  ]) {
    for (const name of ['0 key', '0 value', '1 key', '1 value']) {
      expect(both.to.engine.cells.get(`${name} ${page}`)).toEqual(
        both.from.engine.cells.get(`${name} ${source}`),
      )
    }
  }
  both.from.say(release)
  expect(both.from.heard.at(-1)).toEqual(release)
  expect(both.from.notes.at(-1)).toMatch(/^Sent 8 blocks of s, 0 again/)
  both.to.exchange.imports({ type: 'import-closed', key: 1, session })
  expect(both.to.notes.at(-1)).toBe('Prompt s is taken over.')
})

test('blocks that came before do not travel again, to whichever pages', async () => {
  const both = await pair()
  compute(both)
  await handOver(both, [1, 2])
  const { reads } = both.from.engine
  both.to.exchange.imports({ type: 'import-closed', key: 1, session })
  both.to.say({ type: 'kv-abort', epoch: 1, session, outcome: 'drop', reason: 'over', bytes: 0 })
  both.to.heard.length = 0
  take(both, 2, [3, 4])
  both.to.say(plan('receive', { epoch: 2 }))
  both.to.say({ ...ask, epoch: 2 })
  await said(both.to.heard, 'kv-committed')
  expect(both.from.engine.reads).toBe(reads)
  expect(both.to.engine.cells.get('1 value 4')).toEqual(both.from.engine.cells.get('1 value 6'))
})

const coarse: Partial<KvPlan> = { levels: [2, 2], enhanceTo: 0 }
const release: KvMessage = {
  ...{ type: 'kv-committed', epoch: 1, session, position: 8, partial: false, coarsest: 0, bytes: 0 },
}

test('what came with loss is refined in the pages of sessions, once the prompt is taken over', async () => {
  const both = await pair()
  compute(both)
  take(both, 1, [1, 2])
  both.to.say(plan('receive', coarse))
  both.to.say({ ...ask, levels: [2, 2] })
  both.from.say(plan('send', coarse))
  await said(both.to.heard, 'kv-committed')
  expect(both.to.engine).toMatchObject({ writes: 8, refined: 0 })
  both.to.say(ask)
  both.from.say(release)
  await vi.waitFor(() => expect(both.to.engine).toMatchObject({ writes: 16, refined: 8 }))
  expect(both.to.heard.at(-1)).toMatchObject({ type: 'kv-committed', partial: false, position: 8 })
  await vi.waitFor(() => expect(both.from.notes.at(-1)).toMatch(/^Sent 16 blocks of s, 0 again/))
})

test('pages that are wanted for others are not refined any more, and the coordinator hears why', async () => {
  const both = await pair()
  compute(both)
  take(both, 1, [1, 2])
  both.to.say(plan('receive', coarse))
  both.to.say({ ...ask, levels: [2, 2] })
  both.from.say(plan('send', coarse))
  await said(both.to.heard, 'kv-committed')
  let open = (): void => undefined
  both.to.engine.gate = new Promise((resolve) => {
    open = resolve
  })
  both.to.say(ask)
  both.from.say(release)
  await vi.waitFor(() => expect(both.to.engine.asked).toBeGreaterThan(8))
  both.to.exchange.imports({ type: 'import-closed', key: 1, session })
  expect(await said(both.to.heard, 'kv-abort')).toMatchObject({ reason: expect.stringMatching(/written/) })
  open()
  await vi.waitFor(() => expect(both.to.engine.refused).toBeGreaterThan(0))
  expect(both.to.engine).toMatchObject({ writes: 8, refined: 0 })
})

test('a write that waits while its import is lost never reaches pages that are for others now', async () => {
  const both = await pair()
  compute(both)
  let open = (): void => undefined
  both.to.engine.gate = new Promise((resolve) => {
    open = resolve
  })
  take(both, 1, [1, 2])
  both.to.say(plan('receive'))
  both.from.say(plan('send'))
  await vi.waitFor(() => expect(both.to.engine.asked).toBeGreaterThan(0))
  both.to.exchange.imports({ type: 'import-closed', key: 1, session })
  open()
  await vi.waitFor(() => expect(both.to.engine.refused).toBeGreaterThan(0))
  expect(await said(both.to.heard, 'kv-abort')).toMatchObject({ outcome: 'keep' })
  expect(both.to.engine.writes).toBe(0)
})

test('a prompt that ends while it is read is not sent: its pages may be others by then', async () => {
  const both = await pair()
  compute(both)
  let open = (): void => undefined
  both.from.engine.gate = new Promise((resolve) => {
    open = resolve
  })
  take(both, 1, [1, 2])
  both.to.say(plan('receive'))
  both.from.say(plan('send'))
  await vi.waitFor(() => expect(both.from.engine.reads).toBeGreaterThan(0))
  both.from.exchange.closed(3)
  open()
  expect(await said(both.from.heard, 'kv-abort')).toMatchObject({ outcome: 'keep' })
  expect(both.to.engine.writes).toBe(0)
})

test('blocks leave layer by layer amid a step, without asking the engine; those amid blocks wait for its end', async () => {
  const both = await pair()
  const rows = (layer: number, first: number, value: number) => {
    const bytes = new Uint8Array(PAGE_TOKENS * ROW_BYTES).fill(value)
    return { key: 3, layer, first, count: PAGE_TOKENS, keys: bytes, values: bytes.map((byte) => byte + 1) }
  }
  take(both, 1, [1, 2])
  both.to.say(plan('receive'))
  both.from.exchange.opened(session, prompt)
  both.from.say(plan('send'))
  both.from.exchange.stored(rows(0, 0, 10))
  both.from.exchange.stored(rows(1, 2, 99))
  await vi.waitFor(() => expect(both.to.engine.writes).toBe(2))
  expect(both.to.engine.cells.get('0 value 1')).toEqual(new Uint8Array(PAGE_TOKENS * ROW_BYTES).fill(11))
  both.from.exchange.stored(rows(1, 0, 20))
  await vi.waitFor(() => expect(both.to.engine.writes).toBe(4))
  expect(both.from.engine.reads).toBe(0)
  // From then on the engine is asked.
  both.from.exchange.computed([{ key: 3, position: 0, count: 8, sample: false, pages: [5, 6] }])
  await vi.waitFor(() => expect(both.to.engine.writes).toBe(8))
  expect(both.from.engine.reads).toBe(4)
})

test('plans that this stage cannot do are refused, with why', async () => {
  const { heard, say, exchange } = await side('d')
  say(plan('receive', { layers: { first: 1, end: 3 } }))
  expect(heard.at(-1)).toMatchObject({ type: 'kv-abort', reason: expect.stringMatching(/Layers \[1, 3\)/) })
  exchange.attach(null)
  say(plan('receive', { epoch: 2 }))
  expect(heard.at(-1)).toMatchObject({ type: 'kv-abort', reason: expect.stringMatching(/engine/) })
})

test('an import without pages here is given up at once', async () => {
  const { heard, say } = await side('d')
  say(plan('receive'))
  expect(await said(heard, 'kv-abort')).toMatchObject({ reason: expect.stringMatching(/no pages/) })
})

/** A link over which a worker of another ring calls. */
function guestOf({ exchange }: Awaited<ReturnType<typeof side>>) {
  const { link } = gatewayLink()
  return exchange.accept({ ...link, peer: 'p', role: 'guest' })
}

test('blocks that come when their session is over are not counted', async () => {
  const both = await pair()
  compute(both)
  const late = guestOf(both.to)
  both.to.say({ type: 'kv-abort', epoch: 1, session, outcome: 'drop', reason: 'over', bytes: 0 })
  const bytes = new Uint8Array(8)
  late.message({
    ...{ type: 'kv-block', epoch: 1, session, block: 0, layer: 0, part: 0, level: 0, basis: 0, checksum: 0 },
    bytes,
  })
  late.closed('enough')
  take(both, 1, [1, 2])
  both.to.say(plan('receive', { epoch: 2 }))
  both.to.say({ ...ask, epoch: 2 })
  both.from.say(plan('send', { epoch: 2 }))
  await said(both.to.heard, 'kv-committed')
  both.to.say({ type: 'kv-abort', epoch: 2, session, outcome: 'drop', reason: 'over', bytes: 0 })
  expect(both.to.notes.at(-1)).toMatch(/^Took 8 blocks of s/)
})

test('an older plan changes nothing: blocks are kept under the ids of the one in force', async () => {
  const both = await pair()
  compute(both)
  const others = Uint8Array.from({ length: 2 * KV_ID_BYTES }, (_, at) => 255 - at)
  take(both, 1, [1, 2])
  both.to.say(plan('receive', { epoch: 2 }))
  both.to.say(plan('receive', { epoch: 1, ids: others }))
  both.to.say({ ...ask, epoch: 2 })
  both.from.say(plan('send', { epoch: 2 }))
  both.from.say(plan('send', { epoch: 1, shape: { length: 4, blockTokens: 4, parts: 2 } }))
  await said(both.to.heard, 'kv-committed')
  both.from.say({ ...release, epoch: 2 })
  expect(both.from.notes.at(-1)).toMatch(/^Sent 8 blocks of s, .* for 8 positions/)
  // Another prompt, whose blocks nobody ever sent.
  const next = sessionId('t')
  both.to.exchange.imports({
    ...{ type: 'import-opened', key: 2, session: next, gateway: 'g', first: 0, end: 8, pages: [3, 4] },
  })
  both.to.heard.length = 0
  both.to.say({ ...plan('receive', { ids: others }), session: next })
  both.to.say({ ...ask, session: next, partial: true })
  expect(await said(both.to.heard, 'kv-committed')).toMatchObject({ session: next, position: 0 })
})

test('looking up the blocks of a long prompt lets others have their turns', async () => {
  const { heard, say, exchange } = await side('d')
  const blocks = 256
  exchange.imports({
    ...{ type: 'import-opened', key: 1, session, gateway: 'g', first: 0, end: 4 * blocks, pages: [] },
  })
  let turns = 0
  const count = (): void => {
    turns += 1
    if (heard.length === 0) setImmediate(count)
  }
  setImmediate(count)
  say(
    plan('receive', {
      shape: { length: 4 * blocks, blockTokens: 4, parts: 2 },
      ids: new Uint8Array(blocks * KV_ID_BYTES),
    }),
  )
  say({ ...ask, partial: true })
  expect(await said(heard, 'kv-committed')).toMatchObject({ position: 0 })
  expect(turns).toBeGreaterThan(8)
})
