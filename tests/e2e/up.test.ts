import { SpanCollector } from '@deos/service/testing'
import OpenAI, { AuthenticationError } from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type AnswerRequest, ask, type StreamedAnswer, streamAnswer } from './streamed-answer.ts'
import { childrenOf, commandOf, eventually, familyOf, killAll, UpFleet } from './up-fleet.ts'

/** Tests of one fleet, one after another: each leaves it serving. */

const EMBEDDED = 'deos-7m'
const names = ['desktop', 'laptop', 'mini', 'workstation']

let fleet: UpFleet
let collector: SpanCollector
let key: string
let undisturbed: StreamedAnswer

interface NamedState {
  readonly name: string
  readonly state: string
}

const long = (): AnswerRequest => ({
  ...{ gatewayUrl: fleet.ready.gatewayUrl, key, model: EMBEDDED, maxTokens: 400 },
})
const short = (model = EMBEDDED): AnswerRequest => ({ ...long(), model, maxTokens: 8 })

const openai = (apiKey: string) =>
  new OpenAI({ apiKey, baseURL: `${fleet.ready.gatewayUrl}/v1`, maxRetries: 0 })

async function newKey(name: string): Promise<string> {
  const { secret } = await fleet.json<{ secret: string }>('key', 'create', name)
  return secret
}

async function deploymentDetail(name = EMBEDDED) {
  const { items } = await fleet.client.deployments.list()
  const found = items.find((deployment) => deployment.name === name)
  if (!found) throw new Error(`There is no deployment ${name}.`)
  return fleet.client.deployments.show({ params: { deployment: found.id } })
}

async function machineNamed(name: string) {
  const { items } = await fleet.client.machines.list()
  return items.find((machine) => machine.name === name)
}

/** Machines of the replica that serves, along its ring. */
async function ringOf(name = EMBEDDED): Promise<readonly string[]> {
  const { replicas } = await deploymentDetail(name)
  return replicas.find(({ state }) => state === 'ready')?.stages.map(({ machineName }) => machineName) ?? []
}

const settled = (name = EMBEDDED) =>
  eventually(`a settled ${name}`, async () => {
    const { deployment, replicas } = await deploymentDetail(name)
    const quiet = deployment.state === 'ready' && replicas.every(({ state }) => state === 'ready')
    return quiet ? deployment : undefined
  })

async function eventsSince(sequence: number) {
  const { items } = await fleet.client.events.list({ query: { limit: 100 } })
  return items.filter((event) => event.sequence > sequence).reverse()
}

async function lastEvent(): Promise<number> {
  const { items } = await fleet.client.events.list({ query: { limit: 1 } })
  return items[0]!.sequence
}

beforeAll(async () => {
  collector = await SpanCollector.start()
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: '200' }
  fleet = await UpFleet.start({ ephemeral: true, env })
  key = await newKey('tests')
  undisturbed = await streamAnswer(long())
}, 120_000)

afterAll(async () => {
  const startMs = performance.now()
  expect(await fleet?.stop()).toBe(0)
  collector.stop()
  report('Ctrl-C ended everything after', performance.now() - startMs)
}, 60_000)

test('a request is one trace from the gateway to every stage, and its record tells what each took', async () => {
  const traceId = 'ab'.repeat(16)
  const { response } = await openai(key)
    .chat.completions.create(
      { model: EMBEDDED, messages: [{ role: 'user', content: 'What is a ring?' }], max_tokens: 12 },
      { headers: { traceparent: `00-${traceId}-${'cd'.repeat(8)}-01` } },
    )
    .withResponse()
  const machines = await ringOf()
  const spans = await eventually('its trace', async () => {
    const found = collector.spans.filter((span) => span.traceId === traceId)
    const stages = found.filter(({ name }) => name.startsWith('stage '))
    return stages.length === machines.length && found.some(({ name }) => name.startsWith('chat '))
      ? found
      : undefined
  })
  const request = spans.find(({ name }) => name === `chat ${EMBEDDED}`)!
  expect(request.parentSpanId).toBe('cd'.repeat(8))
  for (const stage of machines.keys()) {
    const span = spans.find(({ name }) => name === `stage ${stage}`)!
    expect(span.parentSpanId).toBe(request.spanId)
    const below = spans.filter(({ parentSpanId }) => parentSpanId === span.spanId)
    expect(below.map(({ name }) => name).sort()).toEqual(['decode', 'prefill'])
  }
  const id = response.headers.get('x-request-id')!
  const record = await eventually('its record', () =>
    fleet.client.requests.show({ params: { request: id } }).catch(() => undefined),
  )
  const { items } = await fleet.client.machines.list()
  const names = record.hops.map(({ machineId }) => items.find((machine) => machine.id === machineId)?.name)
  expect(names).toEqual(machines)
  for (const { prefill, decode } of record.hops) {
    for (const { computeMs, linkMs } of [prefill, decode]) {
      expect(computeMs).toBeGreaterThan(0)
      expect(linkMs).toBeGreaterThanOrEqual(0)
    }
    expect(prefill.computeMs + decode.computeMs).toBeLessThan(record.durationMs)
  }
})

test('four machines are there, and a ring of several of them serves', async () => {
  const { machines } = await fleet.json<{ machines: NamedState[] }>('node', 'ls')
  expect(machines.map(({ name }) => name).sort()).toEqual(names)
  expect(machines.map(({ state }) => state)).toEqual(['ready', 'ready', 'ready', 'ready'])
  expect((await ringOf()).length).toBeGreaterThan(1)
  const status = await fleet.json<{ health: { state: string } }>('status')
  expect(status.health.state).toBe('ok')
})

describe('keys', () => {
  const messages = [{ role: 'user' as const, content: 'What is ownership in Rust?' }]

  test('the official client streams a chat with a key of "deos key create"', async () => {
    const stream = await openai(key).chat.completions.create({
      ...{ model: EMBEDDED, messages, max_tokens: 24, temperature: 0, stream: true },
    })
    let text = ''
    let pieces = 0
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? ''
      pieces += 1
    }
    expect(text.length).toBeGreaterThan(10)
    expect(pieces).toBeGreaterThan(5)
    const whole = await openai(key).chat.completions.create({
      ...{ model: EMBEDDED, messages, max_tokens: 24, temperature: 0 },
    })
    expect(whole.choices[0]!.message.content).toBe(text)
    const { data } = await openai(key).models.list()
    expect(data.map(({ id }) => id)).toEqual([EMBEDDED])
  })

  test('a wrong key is refused, and a revoked one soon', async () => {
    const refused = (secret: string) =>
      openai(secret)
        .models.list()
        .then(
          () => false,
          (error: unknown) => {
            if (error instanceof AuthenticationError) return true
            throw error
          },
        )
    expect(await refused(`deos_k_${'A'.repeat(43)}`)).toBe(true)
    const secret = await newKey('short-lived')
    expect(await refused(secret)).toBe(false)
    const startMs = performance.now()
    await fleet.json('key', 'revoke', 'short-lived')
    await eventually('a refusal', async () => ((await refused(secret)) ? true : undefined), 10_000)
    report('a revoked key was refused after', performance.now() - startMs)
  })
})

test('a second model is registered, deployed, scaled, revised, rolled back, paused, resumed and removed', async () => {
  const second = 'deos-1m'
  const model = await fleet.json<NamedState>('model', 'add', 'models/deos-1m')
  expect(model).toMatchObject({ name: second, state: 'ready' })
  const words = ['--sessions', '1', '--context', '256', '--max', '2']
  const made = await fleet.json<NamedState>('deploy', second, '--served-as', 'tiny', ...words)
  expect(made).toMatchObject({ name: second, state: 'ready', servedAs: 'tiny' })
  const answered = await streamAnswer(short('tiny'))
  expect(answered.usage.completion_tokens).toBe(8)
  expect((await ask(short(second))).status).toBe(404)

  await fleet.json('deployment', 'scale', second, '2')
  expect((await settled(second)).replicas).toMatchObject({ wanted: 2, ready: 2 })
  await fleet.json('deployment', 'scale', second, '1')
  expect((await settled(second)).replicas).toMatchObject({ wanted: 1, ready: 1 })

  const { deployment } = await deploymentDetail(second)
  const params = { deployment: deployment.id }
  await fleet.client.deployments.revise({ params, body: { changes: { precision: 'Q8_0' } } })
  const revised = await settled(second)
  expect(revised).toMatchObject({ revision: 2, spec: { precision: 'Q8_0' } })
  await fleet.json('deployment', 'rollback', second)
  expect(await settled(second)).toMatchObject({ spec: { precision: 'native' } })
  expect(await streamAnswer(short('tiny'))).toMatchObject({ text: answered.text })
  await fleet.client.deployments.revise({ params, body: { changes: { activations: 'lossless' } } })
  expect(await settled(second)).toMatchObject({ spec: { precision: 'native', activations: 'lossless' } })
  expect(await streamAnswer(short('tiny'))).toMatchObject({ text: answered.text })

  await fleet.json('deployment', 'pause', second)
  await eventually('a pause', async () => {
    const { replicas } = await deploymentDetail(second)
    return replicas.length === 0 ? true : undefined
  })
  const paused = await ask(short('tiny'))
  expect(paused.status).toBeGreaterThanOrEqual(400)
  await fleet.json('deployment', 'resume', second)
  await settled(second)
  expect(await streamAnswer(short('tiny'))).toMatchObject({ text: answered.text })

  await fleet.json('deployment', 'rm', second)
  await eventually('the removal', async () => {
    const { items } = await fleet.client.deployments.list()
    return items.some(({ name }) => name === second) ? undefined : true
  })
  expect((await ask(short('tiny'))).status).toBe(404)
  expect((await ask(short())).status).toBe(200)
}, 120_000)

describe('what dies heals', () => {
  /**
   * Kills in the middle of a long answer, and asks at once for another one.
   *
   * @returns the events that tell of it, and what the deployment said of itself meanwhile
   */
  async function disturb(what: string, kill: () => Promise<void>) {
    const before = await lastEvent()
    let killed: Promise<{ readonly healedMs: number }> | null = null
    const said = new Set<string>()
    const listening = setInterval(() => {
      deploymentDetail().then(
        ({ deployment }) => said.add(deployment.reason.message),
        () => undefined,
      )
    }, 250)
    const answer = await streamAnswer(long(), (count) => {
      if (count === 40) killed = kill().then(() => untilAnswered())
    })
    const { healedMs } = await killed!
    report(`${what}: new requests were answered after`, healedMs)
    report(`${what}: the answer under way paused for`, answer.longestPauseMs)
    expect(answer.text).toBe(undisturbed.text)
    expect(answer.usage.completion_tokens).toBe(undisturbed.usage.completion_tokens)
    expect(healedMs).toBeLessThan(30_000)
    await settled()
    clearInterval(listening)
    return { events: await eventsSince(before), said: [...said].join('\n') }
  }

  async function untilAnswered() {
    const startMs = performance.now()
    await eventually('an answer', async () => ((await ask(short())).status === 200 ? true : undefined))
    return { healedMs: performance.now() - startMs }
  }

  /** Processes of stages of a machine. */
  async function workersOf(machine: string): Promise<readonly number[]> {
    const agent = await fleet.agentOf(machine)
    return childrenOf(agent).filter((pid) => /worker\.mjs/.test(commandOf(pid)))
  }

  test('a killed process of a stage', async () => {
    const machine = (await ringOf())[1]!
    const [worker] = await workersOf(machine)
    await disturb('stage', async () => process.kill(worker!, 'SIGKILL') && undefined)
    const { stdout } = await fleet.deos('deployment', 'logs', EMBEDDED, '-n', '50')
    expect(stdout).toContain('The process of the stage died')
  }, 120_000)

  test('a killed engine', async () => {
    const machine = (await ringOf())[0]!
    const [worker] = await workersOf(machine)
    const engine = childrenOf(worker!).find((pid) => /worker-engine/.test(commandOf(pid)))!
    await disturb('engine', async () => process.kill(engine, 'SIGKILL') && undefined)
    expect(await ringOf()).toContain(machine)
  }, 120_000)

  test('a machine of which every process is killed, and which comes back', async () => {
    const machine = (await ringOf())[1]!
    const { id } = (await machineNamed(machine))!
    const agent = await fleet.agentOf(machine)
    const { events, said } = await disturb('machine', async () => killAll(familyOf(agent)))
    const failed = events.find(({ type }) => type === 'replica.failed')
    expect(failed, JSON.stringify(events)).toMatchObject({ data: { lostMachineIds: [id] } })
    expect(said).toContain(`${machine} started anew`)
    const { stdout } = await fleet.deos('events', '-n', '60')
    expect(stdout).toContain(failed!.message)
    expect(stdout).toContain(`Machine ${machine} is back`)
    const back = await eventually(`${machine} back`, async () => {
      const found = await machineNamed(machine)
      return found?.state === 'ready' ? found : undefined
    })
    expect(back.id).toBe(id)
  }, 120_000)

  test('a further machine takes over from one that is drained, and others from it when its power goes', async () => {
    const { secret } = await fleet.json<{ secret: string }>(
      'join-token',
      'create',
      'fifth',
      '--machines',
      '1',
    )
    const fifth = await fleet.join(secret, ['--name', 'fifth', '--memory', '80MiB', '--threads', '1'])
    await eventually('a fifth machine', async () =>
      (await machineNamed('fifth'))?.state === 'ready' ? true : undefined,
    )
    const drained = (await ringOf())[0]!
    let movedAtMs = Number.NaN
    const began = performance.now()
    let drain: Promise<unknown> = Promise.resolve()
    const answer = await streamAnswer(long(), (count) => {
      if (count !== 40) return
      drain = fleet.json('node', 'drain', drained).then(async () => {
        await eventually('a move', async () => ((await ringOf()).includes('fifth') ? true : undefined))
        movedAtMs = performance.now()
      })
    })
    const answeredAtMs = performance.now()
    await drain
    report('drain: its stages had moved after', movedAtMs - began)
    report('drain: the answer under way was whole after', answeredAtMs - began)
    report('drain: it paused for', answer.longestPauseMs)
    expect(answer.text).toBe(undisturbed.text)
    await eventually('an empty machine', async () =>
      (await machineNamed(drained))!.stages.length === 0 ? true : undefined,
    )
    await settled()
    await fleet.json('node', 'uncordon', drained)

    const { events, said } = await disturb('lost machine', async () => killAll(familyOf(fifth.pid)))
    expect(events.map(({ type }) => type)).toEqual(
      expect.arrayContaining(['machine.offline', 'replica.failed']),
    )
    expect(said).toContain('fifth was lost')
    const lost = await fleet.json<NamedState>('node', 'show', 'fifth')
    expect(lost.state).toBe('offline')
    expect(await ringOf()).not.toContain('fifth')
    await fleet.json('node', 'rm', 'fifth', '--force')
    const { machines } = await fleet.json<{ machines: NamedState[] }>('node', 'ls')
    expect(machines.map(({ name }) => name).sort()).toEqual(names)
  }, 120_000)
})

function report(what: string, tookMs: number): void {
  process.stderr.write(`${what} ${(tookMs / 1000).toFixed(2)} s\n`)
}
