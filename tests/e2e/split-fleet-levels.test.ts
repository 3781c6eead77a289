import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { RequestRecord } from '@deos/sdk'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { dishonestCalibration } from './changed-calibrations.ts'
import { commandOf, eventually, familyOf, killAll, UpFleet } from './up-fleet.ts'

/** A deployment of `deos up` whose prompts come from other machines in fewer bytes, by the calibration beside the model. */

type RequestSplit = NonNullable<RequestRecord['split']>

const SPLIT = 'split'
const model = fileURLToPath(new URL('../../models/deos-7m', import.meta.url))
/** Links so narrow that everything with little enough harm is wanted. */
const env = {
  ...{ DEOS_SPLIT: 'always', DEOS_KV_GOODPUT: '1000', DEOS_KV_EXPOSED: '0ms' },
  // At such a rate better copies take long, in theory; answers of less than 32 tokens get none.
  DEOS_KV_ENHANCE: '3600s',
}
const text = readFileSync(fileURLToPath(new URL('../../models/held-out.txt', import.meta.url)), 'utf8')
const prompt = (salt: number): string => text.slice(20_000 + 3_000 * salt, 21_000 + 3_000 * salt)

let root: string
let fleet: UpFleet
let key: string

async function answer(
  asked: string,
  tokens = 16,
): Promise<{ readonly text: string; readonly record: RequestRecord }> {
  const response = await fetch(`${fleet.ready.gatewayUrl}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({
      ...{ model: SPLIT, prompt: asked, temperature: 0, max_tokens: tokens, ignore_eos: true },
    }),
  })
  const body = await response.text()
  if (!response.ok) throw new Error(`${response.status}: ${body}`)
  const request = response.headers.get('x-request-id') ?? ''
  const record = await eventually(`the record of ${request}`, () =>
    fleet.client.requests.show({ params: { request } }).then(
      (found) => found as RequestRecord,
      () => undefined,
    ),
  )
  return { text: (JSON.parse(body) as { choices: { text: string }[] }).choices[0]!.text, record }
}

async function prefillProcesses(): Promise<readonly number[]> {
  const { items } = await fleet.client.deployments.list()
  const { id } = items.find(({ name }) => name === SPLIT)!
  const { replicas } = await fleet.client.deployments.show({ params: { deployment: id } })
  const machine = replicas.find(({ role }) => role === 'prefill')!.stages.at(-1)!.machineName
  const workers = familyOf(await fleet.agentOf(machine)).filter((pid) => /worker\.mjs/.test(commandOf(pid)))
  return workers.flatMap(familyOf)
}

/** @param words - further flags of `deos up` */
async function start(words: readonly string[]): Promise<void> {
  fleet = await UpFleet.start({ ephemeral: true, env, words })
  key = (await fleet.json<{ secret: string }>('key', 'create', 'tests')).secret
  // There is no room for both.
  await fleet.json('deployment', 'pause', 'deos-7m')
  const flags = ['--name', SPLIT, '--served-as', SPLIT, '--context', '1024', '--sessions', '2']
  await fleet.json('deploy', 'deos-7m', ...flags, '--prefill-replicas', '1', '--kv-quality', 'refined')
}

/** The record of the first answer to such a prompt of which that holds; each time another beginning, so that none is cached. */
async function recordOf(
  salt: number,
  holds: (split: RequestSplit) => boolean,
  tokens = 16,
): Promise<RequestSplit> {
  let reason = ''
  for (let attempt = 0; attempt < 40; attempt += 1) {
    const { split } = (await answer(`${attempt} ${prompt(salt)}`, tokens)).record
    if (split !== null && holds(split)) return split
    reason = split?.reason ?? ''
  }
  throw new Error(`It did not happen: ${reason}`)
}

const isLossy = ({ levels }: RequestSplit): boolean => levels.some((level) => level > 0)

describe('a sound calibration', () => {
  beforeAll(() => start([]), 180_000)
  afterAll(async () => {
    expect(await fleet?.stop()).toBe(0)
  }, 60_000)

  test('a calibration beside the model is found, and machines and gateway code KV by it', async () => {
    const { items } = await fleet.client.models.list()
    expect(items[0]!.reason.message).toMatch(/KV is handed over by calibration [0-9a-f]{16}\./)
    // Others answer until both replicas are ready.
    const split = await recordOf(0, isLossy)
    expect(split).toMatchObject({ used: true, refusals: 0 })
    expect(split.reason).toMatch(/KV travels at level .+ nat expected/)
    expect(split.reason).toMatch(/The guard lets it pass: 0\.00\d+ nat over 4 positions/)
    // In halves: 8 layers of 128 keys and 128 values.
    expect((4096 * split.tokens) / split.bytes).toBeGreaterThan(5)
  })

  test('longer answers get better copies, and their record says how many bytes and when they were there', async () => {
    const split = await recordOf(3, ({ enhancement }) => enhancement?.complete === true, 300)
    expect(split).toMatchObject({ used: true, enhancement: { level: 1, endedMs: expect.any(Number) } })
    expect(split.reason).toMatch(/Better copies at level 1 follow/)
    const { bytes } = split.enhancement!
    expect(bytes).toBeGreaterThan(1_000 * split.tokens)
    expect(split.bytes).toBeGreaterThan(bytes)
  })

  test('a prefill worker that is killed midway costs no answer, and loss comes back only with its check', async () => {
    const pids = await prefillProcesses()
    expect(pids.length).toBeGreaterThan(0)
    const answered = answer(prompt(1))
    await sleep(100)
    killAll(pids)
    const { record, text: said } = await answered
    expect(said).not.toBe('')
    expect(record.status).toBe(200)
    // Never without the guard.
    expect((await recordOf(2, isLossy)).reason).toMatch(/The guard lets it pass/)
  }, 120_000)
})

describe('a calibration whose steps do more harm than it says', () => {
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'deos-dishonest-'))
    cpSync(model, join(root, 'deos-7m'), { recursive: true })
    dishonestCalibration(root)
    await start(['--model', join(root, 'deos-7m')])
  }, 180_000)
  afterAll(async () => {
    const code = await fleet?.stop()
    rmSync(root, { recursive: true, force: true })
    expect(code).toBe(0)
  }, 60_000)

  test('the guard refuses what came by it, it comes exactly, and the record says so', async () => {
    const split = await recordOf(3, ({ used, refusals }) => used && refusals > 0)
    expect(split).toMatchObject({ refusals: 2, levels: [0] })
    expect(split.reason).toContain('KV travels exactly, since it was refused before.')
  })
})
