import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ApiClient, RequestRecord } from '@deos/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { AgentProcess } from '../../apps/worker/src/agent/testing/agent-process.ts'
import { ControlPlaneProcess, installationEnv, newInstallation } from './control-plane-process.ts'
import { LineProcess } from './line-process.ts'
import { eventually } from './up-fleet.ts'

/** Prompts computed on one machine for another, where nobody can dial either: guests come over the relay, too. */

const models = fileURLToPath(new URL('../../models', import.meta.url))
const secrets = newInstallation()
const words = 'the river carries light over quiet stones while an old machine counts clouds'.split(' ')
const prompt = Array.from({ length: 300 }, (_, at) => words[(at * 7) % words.length]).join(' ')

let root: string
let plane: ControlPlaneProcess
let client: ApiClient
let gateway: LineProcess
let gatewayUrl: string
const agents: AgentProcess[] = []

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'deos-relay-split-'))
  const relay = ['--relay-port', String(await freePort())]
  plane = new ControlPlaneProcess(
    ['--model-folders', models, ...relay, '--log-level', 'warn'],
    installationEnv(secrets),
  )
  const { url } = await plane.ready()
  client = await plane.client(secrets.bootstrapKey)
  const { secret: token } = await client.joinTokens.create({ body: { name: 'relay' } })
  for (const name of ['attic', 'basement']) {
    const flags = ['--url', url, '--home', join(root, name), '--name', name, '--advertise', 'none']
    agents.push(new AgentProcess([...flags, '--memory', '160MiB', '--threads', '1'], token))
  }
  gateway = new LineProcess(
    'gateway.mjs',
    [
      ...['--port', '0', '--control-plane', url, '--cache', join(root, 'gateway')],
      ...['--split', 'always', '--log-format', 'json', '--log-level', 'debug'],
    ],
    { DEOS_GATEWAY_TOKEN: secrets.gatewayToken, DEOS_API_KEY: '' },
  )
  gatewayUrl = String((await gateway.line(({ ready }) => ready === true)).url)
  for (const agent of agents) await agent.told('joined', 60_000)
}, 120_000)

afterAll(async () => {
  gateway?.kill()
  for (const agent of agents) agent.kill('SIGKILL')
  await Promise.all(agents.map(({ exit }) => exit))
  await plane?.stop()
  rmSync(root, { recursive: true, force: true })
})

test('KV is handed over between machines that only the relay reaches', { timeout: 180_000 }, async () => {
  const model = await client.models.create({
    body: { source: { kind: 'path', path: join(models, 'deos-7m') } },
  })
  const split = { prefillReplicas: 1, kvQuality: 'lossless' as const }
  const { id } = await client.deployments.create({
    body: {
      ...{ name: 'chat', servedAs: 'chat' },
      spec: { modelId: model.id, contextTokens: 1024, sessions: 2, split },
    },
  })
  await eventually('both replicas', async () => {
    const { replicas } = await client.deployments.show({ params: { deployment: id } })
    return replicas.filter(({ state }) => state === 'ready').length === 2 ? true : undefined
  })
  let reason = ''
  for (let attempt = 0, used = false; !used; attempt += 1) {
    if (attempt === 20) throw new Error(`Nothing was handed over: ${reason}\n${gateway.log.slice(-4000)}`)
    // Each time another beginning: none of it is cached.
    const response = await fetch(`${gatewayUrl}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${secrets.bootstrapKey}` },
      body: JSON.stringify({
        model: 'chat',
        prompt: `${attempt} ${prompt}`,
        max_tokens: 8,
        ignore_eos: true,
      }),
    })
    const request = response.headers.get('x-request-id') ?? ''
    const body = await response.text()
    if (!response.ok) throw new Error(`${response.status}: ${body}`)
    const record = await eventually('the record', () =>
      client.requests.show({ params: { request } }).then(
        (found) => found as RequestRecord,
        () => undefined,
      ),
    )
    used = record.split?.used === true
    reason = record.split?.reason ?? 'no split'
    if (used) expect(record.split!.bytes).toBeGreaterThan(0)
  }
})
