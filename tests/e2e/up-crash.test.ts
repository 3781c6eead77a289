import { setTimeout as sleep } from 'node:timers/promises'
import { type ApiClient, eachItem } from '@deos/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { becomeOwner } from './owner.ts'
import { RefusedError, type StreamedAnswer, streamAnswer } from './streamed-answer.ts'
import { eventually, UpFleet } from './up-fleet.ts'

/** The control plane is killed under load; nothing that it accepted is lost, nothing is charged twice. */

const CLIENTS = 4
/** Micro-units a token, each its own so that no mix-up goes unseen. */
const price = { prompt: 3n, cached: 2n, completion: 7n }

interface CreatedKey {
  readonly secret: string
  readonly key: { readonly id: string }
}

interface Answered extends StreamedAnswer {
  readonly beganMs: number
  readonly endedMs: number
}

let fleet: UpFleet
let client: ApiClient

beforeAll(async () => {
  fleet = await UpFleet.start({ ephemeral: false })
  client = fleet.client
}, 120_000)

afterAll(async () => {
  await fleet?.stop()
}, 60_000)

const perMillion = (microUnits: bigint) => ({ currency: 'USD', microUnits: String(microUnits * 1_000_000n) })

async function events() {
  const all = []
  for await (const event of eachItem(client.events.list, { order: 'oldest' })) all.push(event)
  return all
}

const idsOfMachines = async () => {
  const { items } = await client.machines.list()
  return Object.fromEntries(items.map(({ name, id, incarnation }) => [name, { id, incarnation }]))
}

const answerWith = (key: string, maxTokens: number) => {
  const { gatewayUrl, model } = fleet.ready
  return streamAnswer({ gatewayUrl, key, model, maxTokens })
}

/** Streams answers, one after another at each client, until it is told to stop. */
class Load {
  readonly answers: Answered[] = []
  /** Requests that were told to come back, since their price could not be held. */
  refusals = 0
  #stopped = false
  readonly #running: Promise<unknown>

  constructor(key: string) {
    this.#running = Promise.all(Array.from({ length: CLIENTS }, () => this.#client(key)))
    this.#running.catch(() => undefined)
  }

  /** @throws what any answer failed with */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  /** Until so many more have been answered. @throws what any answer failed with */
  async more(count: number): Promise<void> {
    const goal = this.answers.length + count
    await Promise.race([
      eventually(`${count} more answers`, async () => (this.answers.length >= goal ? true : undefined)),
      this.#running,
    ])
  }

  async #client(key: string): Promise<void> {
    while (!this.#stopped) {
      const beganMs = performance.now()
      try {
        const answer = await answerWith(key, 24)
        this.answers.push({ ...answer, beganMs, endedMs: performance.now() })
      } catch (error) {
        if (!(error instanceof RefusedError) || error.code !== 'budget_unknown') throw error
        this.refusals += 1
        await sleep(200)
      }
    }
  }
}

interface Crash {
  readonly load: Load
  /** Answers to requests that came and were answered while there was no control plane. */
  readonly meanwhile: number
}

/** Kills the control plane while answers are streamed, and goes on for a while once it is back. */
async function crashUnderLoad(key: string): Promise<Crash> {
  const machinesBefore = await idsOfMachines()
  const load = new Load(key)
  await load.more(8)
  const eventsBefore = await events()
  const pid = await fleet.controlPlanePid()
  process.kill(pid, 'SIGKILL')
  const killedMs = performance.now()
  await eventually('the control plane again', async () =>
    client.status.show().then(
      () => true,
      () => undefined,
    ),
  )
  const backMs = performance.now()
  expect(await fleet.controlPlanePid()).not.toBe(pid)
  await load.more(8)
  await load.stop()
  const meanwhile = load.answers.filter(
    ({ beganMs, endedMs }) => beganMs > killedMs && endedMs < backMs,
  ).length
  process.stderr.write(
    `control plane away for ${((backMs - killedMs) / 1000).toFixed(2)} s: ${meanwhile} of ` +
      `${load.answers.length} requests began and ended in it, ${load.refusals} were told to come back\n`,
  )
  await eventually('all machines ready', async () => {
    const { items } = await client.machines.list()
    return items.every(({ state }) => state === 'ready') ? true : undefined
  })
  expect(await idsOfMachines()).toEqual(machinesBefore)
  expect((await events()).slice(0, eventsBefore.length)).toEqual(eventsBefore)
  return { load, meanwhile }
}

/** Records of the requests of a key that were answered, each of them once. */
async function recordsOf(key: string, { answers }: Load) {
  const records = await eventually('a record of every request', async () => {
    const found = []
    for await (const record of eachItem(client.requests.list, { key })) found.push(record)
    const answered = found.filter(({ status }) => status === 200)
    return answered.length >= answers.length ? found : undefined
  })
  expect(new Set(records.map(({ id }) => id)).size).toBe(records.length)
  const answered = records.filter(({ status }) => status === 200)
  expect(answered).toHaveLength(answers.length)
  const { total } = await client.usage.show({ query: { key } })
  expect(total).toMatchObject({
    requests: records.length,
    failedRequests: records.length - answered.length,
    promptTokens: answers.reduce((tokens, { usage }) => tokens + usage.prompt_tokens, 0),
    completionTokens: answers.reduce((tokens, { usage }) => tokens + usage.completion_tokens, 0),
  })
  return { answered, total }
}

const costOf = ({ usage }: StreamedAnswer): bigint => {
  const cached = BigInt(usage.prompt_tokens_details?.cached_tokens ?? 0)
  const prompt = BigInt(usage.prompt_tokens) - cached
  return prompt * price.prompt + cached * price.cached + BigInt(usage.completion_tokens) * price.completion
}

const sum = (amounts: readonly bigint[]): bigint => amounts.reduce((total, amount) => total + amount, 0n)

test('requests go on while the control plane is killed, and each is recorded once', async () => {
  const { secret, key } = await fleet.json<CreatedKey>('key', 'create', 'free')
  const { load, meanwhile } = await crashUnderLoad(secret)
  expect(meanwhile).toBeGreaterThan(0)
  expect(load.refusals).toBe(0)
  await recordsOf(key.id, load)
}, 120_000)

test('what costs something waits until its price can be held, and is charged once', async () => {
  const owner = await becomeOwner(fleet.ready.setupUrl!)
  await owner.settings.update({
    body: {
      tokenPrices: {
        promptPerMillion: perMillion(price.prompt),
        cachedPromptPerMillion: perMillion(price.cached),
        completionPerMillion: perMillion(price.completion),
      },
    },
  })
  const early = await fleet.json<CreatedKey>('key', 'create', 'early')
  await eventually('a request that cost something', async () => {
    await answerWith(early.secret, 1)
    const { items } = await client.requests.list({ query: { limit: 1 } })
    return items[0] !== undefined && items[0].cost.microUnits !== '0' ? true : undefined
  })
  const settledBalance = () =>
    eventually('a balance with nothing held back', async () => {
      const balance = await owner.ledger.balance()
      return balance.reserved.microUnits === '0' ? BigInt(balance.balance.microUnits) : undefined
    })
  const balanceBefore = await settledBalance()

  const { secret, key } = await fleet.json<CreatedKey>('key', 'create', 'priced')
  const { load } = await crashUnderLoad(secret)
  const { answered, total } = await recordsOf(key.id, load)
  const expected = sum(load.answers.map(costOf))
  expect(sum(answered.map(({ cost }) => BigInt(cost.microUnits)))).toBe(expected)
  expect(total.cost).toEqual({ currency: 'USD', microUnits: String(expected) })
  expect((await settledBalance()) + expected).toBe(balanceBefore)

  const settled: string[] = []
  for await (const { kind, requestId, postings } of eachItem(owner.ledger.entries, {})) {
    expect(sum(postings.map(({ amount }) => BigInt(amount.microUnits)))).toBe(0n)
    if (kind === 'settle') settled.push(requestId!)
  }
  expect(new Set(settled).size).toBe(settled.length)
  expect(settled).toEqual(expect.arrayContaining(answered.map(({ id }) => id)))
}, 120_000)

test('started again, it knows its machines, keys and deployment, and everything that happened', async () => {
  const { secret } = await fleet.json<{ secret: string }>('key', 'create', 'lasting')
  const before = {
    machines: await idsOfMachines(),
    events: await events(),
    text: (await answerWith(secret, 24)).text,
  }
  const { deployment } = fleet.ready
  await fleet.restart()
  client = fleet.client
  expect(fleet.ready.deployment).toBe(deployment)
  expect((await answerWith(secret, 24)).text).toBe(before.text)
  const after = await idsOfMachines()
  expect(Object.keys(after).sort()).toEqual(Object.keys(before.machines).sort())
  for (const [name, { id }] of Object.entries(after)) expect(id, name).toBe(before.machines[name]!.id)
  expect((await events()).slice(0, before.events.length)).toEqual(before.events)
}, 120_000)
