import type { RequestRecord } from '@deos/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { commandOf, eventually, familyOf, killAll, UpFleet } from './up-fleet.ts'

/** A deployment of `deos up` whose prompts other machines compute. Tests go one after another on one fleet. */

const ALONE = 'deos-7m'
const SPLIT = 'split'

let fleet: UpFleet
let key: string
/** What the model says where prompts are computed where they are decoded, by question. */
const colocated = new Map<string, string>()

interface Question {
  readonly salt: number
  readonly temperature: number
}

const questions: readonly Question[] = [
  { salt: 1, temperature: 0 },
  { salt: 2, temperature: 0.8 },
  { salt: 3, temperature: 0 },
  { salt: 4, temperature: 0 },
]
const words =
  'the river carries light over quiet stones while an old machine counts every passing cloud'.split(' ')
const promptOf = (salt: number): string =>
  Array.from({ length: 380 }, (_, at) => words[(at * 7 + salt * ((at % 5) + 1)) % words.length]).join(' ')
const nameOf = ({ salt, temperature }: Question): string => `${salt} at ${temperature}`

async function answer(model: string, prompt: string, temperature = 0) {
  const response = await fetch(`${fleet.ready.gatewayUrl}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({
      ...{ model, prompt, temperature, seed: 7, max_tokens: 24, ignore_eos: true },
    }),
  })
  const body = await response.text()
  if (!response.ok) throw new Error(`${response.status}: ${body}`)
  const { choices, usage } = JSON.parse(body) as {
    readonly choices: readonly { readonly text: string }[]
    readonly usage: { readonly prompt_tokens_details: { readonly cached_tokens: number } }
  }
  return {
    id: response.headers.get('x-request-id') ?? '',
    text: choices[0]!.text,
    cachedTokens: usage.prompt_tokens_details.cached_tokens,
  }
}

const recordOf = (id: string): Promise<RequestRecord> =>
  eventually(`the record of ${id}`, () =>
    fleet.client.requests.show({ params: { request: id } }).then(
      (record) => record as RequestRecord,
      () => undefined,
    ),
  )

async function detail() {
  const { items } = await fleet.client.deployments.list()
  const { id } = items.find(({ name }) => name === SPLIT)!
  return fleet.client.deployments.show({ params: { deployment: id } })
}

const readyReplica = (role: 'prefill' | 'decode') =>
  eventually(`a ready ${role} replica`, async () => {
    const { deployment, replicas } = await detail()
    const found = replicas.find((replica) => replica.role === role && replica.state === 'ready')
    return deployment.state === 'ready' ? found : undefined
  })

/** Its worker, and the engine of that. */
async function stageProcessesOn(machine: string): Promise<readonly number[]> {
  const workers = familyOf(await fleet.agentOf(machine)).filter((pid) => /worker\.mjs/.test(commandOf(pid)))
  return workers.flatMap(familyOf)
}

beforeAll(async () => {
  // Whether it is worth it on this computer is not the question here.
  process.env.DEOS_SPLIT = 'always'
  fleet = await UpFleet.start({ ephemeral: true })
  key = (await fleet.json<{ secret: string }>('key', 'create', 'tests')).secret
  for (const question of questions) {
    const { text } = await answer(ALONE, promptOf(question.salt), question.temperature)
    colocated.set(nameOf(question), text)
  }
  // There is no room for both.
  await fleet.json('deployment', 'pause', ALONE)
  const flags = ['--name', SPLIT, '--served-as', SPLIT, '--context', '1024', '--sessions', '2']
  await fleet.json('deploy', ALONE, ...flags, '--prefill-replicas', '1')
}, 180_000)

afterAll(async () => {
  delete process.env.DEOS_SPLIT
  expect(await fleet?.stop()).toBe(0)
}, 60_000)

test('one replica answers, another on other machines computes prompts', async () => {
  const { deployment, replicas } = await detail()
  expect(deployment).toMatchObject({
    spec: { split: { prefillReplicas: 1, kvQuality: 'lossless' } },
    replicas: { wanted: 1, ready: 1 },
    prefillReplicas: { wanted: 1, ready: 1 },
  })
  expect(replicas.map(({ role }) => role).sort()).toEqual(['decode', 'prefill'])
  const machines = replicas.flatMap(({ stages }) => stages.map(({ machineName }) => machineName))
  expect(new Set(machines).size).toBe(machines.length)
})

test.each(questions.slice(0, 2))(
  'a long prompt is handed over, the text is the same: $salt',
  async (question) => {
    const { id, text, cachedTokens } = await answer(SPLIT, promptOf(question.salt), question.temperature)
    expect(text).toBe(colocated.get(nameOf(question)))
    const { split, replicaId, promptTokens } = await recordOf(id)
    const [prefill, decode] = [await readyReplica('prefill'), await readyReplica('decode')]
    expect(replicaId).toBe(decode.id)
    expect(split).toMatchObject({ used: true, prefillReplicaId: prefill.id })
    expect(split!.tokens).toBeGreaterThan(promptTokens - 128)
    expect(split!.bytes).toBeGreaterThan(0)
    // Computed for this request, though elsewhere.
    expect(cachedTokens).toBe(0)
  },
)

test('a short prompt is computed where it is decoded, and its record says why', async () => {
  const { id } = await answer(SPLIT, 'the river')
  expect((await recordOf(id)).split).toMatchObject({
    ...{ used: false, tokens: 0, bytes: 0 },
    reason: expect.stringContaining('of a block'),
  })
})

test('a prefill worker that is killed midway costs no answer, and the replica comes back', async () => {
  const question = questions[2]!
  const { stages } = await readyReplica('prefill')
  const pids = await stageProcessesOn(stages.at(-1)!.machineName)
  expect(pids.length).toBeGreaterThan(0)
  const answered = answer(SPLIT, promptOf(question.salt), question.temperature)
  const died = new Promise((resolve) => setTimeout(resolve, 300)).then(() => killAll(pids))
  const { id, text } = await answered
  await died
  expect(text).toBe(colocated.get(nameOf(question)))
  const { status, split } = await recordOf(id)
  expect(status).toBe(200)
  expect(split).not.toBeNull()
  // Each time another beginning: none of it is cached.
  let reason = ''
  for (let attempt = 0, used = false; !used; attempt += 1) {
    if (attempt === 40) throw new Error(`Nothing was handed over after it: ${reason}`)
    const again = await answer(SPLIT, `${attempt} ${promptOf(5)}`)
    const record = await recordOf(again.id)
    used = record.split?.used === true
    reason = record.split?.reason ?? ''
  }
}, 120_000)

test('a prefill machine that dies leaves the deployment answering', async () => {
  const question = questions[3]!
  const { stages, generation } = await readyReplica('prefill')
  const decode = await readyReplica('decode')
  killAll(familyOf(await fleet.agentOf(stages[0]!.machineName)))
  const { id, text } = await answer(SPLIT, promptOf(question.salt))
  expect(text).toBe(colocated.get(nameOf(question)))
  expect(await recordOf(id)).toMatchObject({ status: 200, replicaId: decode.id })
  await eventually('a prefill replica in its place', async () => {
    const { replicas } = await detail()
    return replicas.find(
      ({ role, state, generation: at }) => role === 'prefill' && state === 'ready' && at > generation,
    )
  })
  expect(await readyReplica('decode')).toMatchObject({ id: decode.id, generation: decode.generation })
}, 120_000)
