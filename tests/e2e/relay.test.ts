import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ApiClient } from '@deos/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { AgentProcess } from '../../apps/worker/src/agent/testing/agent-process.ts'
import { ControlPlaneProcess, installationEnv, newInstallation } from './control-plane-process.ts'
import { eventually } from './up-fleet.ts'

/** Machines that nobody can dial, with the control plane's relay in common. */

const models = fileURLToPath(new URL('../../models', import.meta.url))
const names = ['attic', 'basement'] as const

let root: string
let plane: ControlPlaneProcess
let client: ApiClient
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
  root = mkdtempSync(join(tmpdir(), 'deos-relay-'))
  const secrets = newInstallation()
  plane = new ControlPlaneProcess(
    ['--model-folders', models, '--relay-port', String(await freePort()), '--log-level', 'warn'],
    installationEnv(secrets),
  )
  const { url } = await plane.ready()
  client = await plane.client(secrets.bootstrapKey)
  const { secret: token } = await client.joinTokens.create({ body: { name: 'relay' } })
  for (const name of names) {
    const words = ['--url', url, '--home', join(root, name), '--name', name, '--advertise', 'none']
    // Neither holds the whole model.
    agents.push(new AgentProcess([...words, '--memory', '40MiB', '--threads', '1'], token))
  }
  for (const agent of agents) await agent.told('joined', 60_000)
}, 120_000)

afterAll(async () => {
  for (const agent of agents) agent.kill('SIGKILL')
  await Promise.all(agents.map(({ exit }) => exit))
  await plane?.stop()
  rmSync(root, { recursive: true, force: true })
})

test('they hold a ring whose tokens come, and say which way their links go', {
  timeout: 180_000,
}, async () => {
  const model = await client.models.create({
    body: { source: { kind: 'path', path: join(models, 'deos-7m') } },
  })
  const { id } = await client.deployments.create({
    body: { name: 'chat', servedAs: 'chat', spec: { modelId: model.id, contextTokens: 1024, sessions: 2 } },
  })
  const shown = () => client.deployments.show({ params: { deployment: id } })
  const { replicas } = await eventually('a ring that generated a token', async () => {
    const detail = await shown()
    return detail.deployment.state === 'ready' ? detail : undefined
  })
  expect(replicas[0]!.stages.map(({ machineName }) => machineName).sort()).toEqual([...names])
  const paths = await eventually('paths of both links', async () => {
    for await (const { data } of client.deployments.live({ params: { deployment: id } })) {
      const told = data.replicas[0]!.stages.map(({ linkPath }) => linkPath)
      if (told.every((path) => path !== null)) return told
    }
    return undefined
  })
  for (const path of paths) expect(['relayed', 'punched']).toContain(path)
})
