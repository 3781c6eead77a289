import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ProblemError } from '@deos/sdk'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { PeerBlobs } from './peers/peer-blobs.ts'
import type { StageAssignment } from './stages/stage-assignment.ts'
import { AgentProcess } from './testing/agent-process.ts'
import { FakeControlPlane } from './testing/fake-control-plane.ts'

const root = mkdtempSync(join(tmpdir(), 'deos-agent-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const model = fileURLToPath(new URL('../../../../models/deos-1m', import.meta.url))
let plane: FakeControlPlane
let home: string
const agents: AgentProcess[] = []

beforeEach(async () => {
  plane = new FakeControlPlane()
  await plane.start()
  home = mkdtempSync(join(root, 'home-'))
})
afterEach(async () => {
  for (const agent of agents) agent.kill('SIGKILL')
  await Promise.all(agents.splice(0).map(({ exit }) => exit))
  await plane.stop()
})

function startAgent(argv: readonly string[] = [], token = plane.token): AgentProcess {
  const agent = new AgentProcess(
    [
      '--url',
      plane.url,
      '--home',
      home,
      '--threads',
      '1',
      '--device',
      'CPU',
      '--log-format',
      'json',
      ...argv,
    ],
    token,
  )
  agents.push(agent)
  return agent
}

const assignmentOf = async (changes: Partial<StageAssignment> = {}): Promise<StageAssignment> => {
  const offered = await plane.offer(model)
  const self = { stageId: 'stage-1', machineId: 'machine-1', linkAddress: null }
  return {
    ...{ stageId: 'stage-1', replicaId: 'replica-1', deploymentId: 'deployment-1', generation: 1 },
    ...{ wanted: 'run', position: 0, stages: 1, device: 'CPU', layers: { first: 0, end: 2 }, model: offered },
    ...{ precision: 'native', activations: 'f32', contextTokens: 512, sessions: 1, kvTokens: 512 },
    ...{ weightBytes: 2 ** 21, kvBytes: 2 ** 22, ring: 'replica-1.1', ringSecret: '5e'.repeat(32) },
    ...{ previous: self, next: self, sources: [] },
    ...changes,
  } as unknown as StageAssignment
}

const layersOf = () =>
  (JSON.parse(readFileSync(join(model, 'config.json'), 'utf8')) as { num_hidden_layers: number })
    .num_hidden_layers
const whole = () => ({ layers: { first: 0, end: layersOf() } })

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Processes of stages that some process started. */
const stagesOf = (ppid: number): readonly number[] =>
  execFileSync('ps', ['-eo', 'pid=,ppid=,args='], { encoding: 'utf8' })
    .split('\n')
    .map((row) => row.trim().split(/\s+/))
    .filter(([, parent, ...args]) => Number(parent) === ppid && args.join(' ').includes('worker.mjs'))
    .map(([pid]) => Number(pid))

test('a machine joins, says what it is and how fast, keeps quiet about its token, and comes back as itself', async () => {
  plane.missing = 'inventory'
  const agent = startAgent(['--name', 'attic', '--region', 'eu', '--memory', '1GiB', '--speed', '0.5'])
  expect(await agent.told('joined')).toMatchObject({ machineId: 'machine-1', name: 'attic', incarnation: 1 })
  await expect.poll(() => plane.benchmark, { timeout: 30_000 }).not.toBeNull()
  expect(plane.inventory).toMatchObject({
    memoryBytes: 2 ** 30,
    devices: [{ name: 'CPU', kind: 'cpu', memoryBytes: 2 ** 30 }],
  })
  expect(Object.keys(plane.benchmark!.devices[0]!.flopsPerSecond).sort()).toEqual(['F16', 'Q4_K', 'Q8_0'])
  expect(plane.joins[0]).toMatchObject({
    token: plane.token,
    location: { region: 'eu', provider: 'unknown' },
  })
  expect(plane.joins[0]!.linkAddress).toMatch(/^127\.0\.0\.1:\d+$/)
  const folder = join(home, 'machine', 'attic')
  expect(statSync(join(folder, 'key.pem')).mode & 0o777).toBe(0o600)
  expect(statSync(folder).mode & 0o777).toBe(0o700)
  const measured = plane.benchmark
  agent.kill('SIGKILL')
  await agent.exit

  plane.missing = 'benchmark'
  plane.benchmark = null
  const again = startAgent(['--name', 'attic', '--memory', '1GiB', '--speed', '0.5'], '')
  expect(await again.told('joined')).toMatchObject({ machineId: 'machine-1', incarnation: 2 })
  await expect.poll(() => plane.benchmark, { timeout: 30_000 }).toEqual(measured)
  expect(plane.joins.at(-1)!.token).toBeNull()
  expect(plane.heartbeats.at(-1)).toMatchObject({ incarnation: 2, stages: [], leaving: false })
  expect(again.log).not.toContain('deos_m_')
})

test('heartbeats count up, and a machine that nobody knows any more joins again', async () => {
  startAgent()
  await plane.heartbeatWith(({ sequence }) => sequence >= 3)
  const sequences = plane.heartbeats.map(({ sequence }) => sequence)
  expect(sequences).toEqual(sequences.map((_, index) => index + 1))
  const [member] = plane.members.values()
  member!.credential = 'forgotten'
  await expect.poll(() => plane.joins.length).toBe(2)
  expect(plane.joins[1]!.process).toBe(plane.joins[0]!.process)
  await plane.heartbeatWith(({ incarnation }) => incarnation === 1)
})

test('one process at a time is a machine of this computer; a fenced one ends and says so', async () => {
  const agent = startAgent()
  await agent.told('joined')
  const second = startAgent()
  expect(await second.exit).toBe(5)
  expect(await second.told('ended')).toMatchObject({ code: 'MACHINE_KEY_IN_USE' })
  plane.refusal = new ProblemError('stale-incarnation', 'Incarnation 2 has joined.', {
    code: 'MACHINE_FENCED',
  })
  expect(await agent.exit).toBe(3)
  expect(await agent.told('ended')).toMatchObject({
    code: 'MACHINE_FENCED',
    message: 'Incarnation 2 has joined.',
  })
  expect(plane.joins).toHaveLength(1)
  expect(existsSync(join(home, 'machine', 'default', 'lock'))).toBe(false)
})

test('a copy of the key that joins elsewhere fences this process, which does not fence it back', async () => {
  const agent = startAgent()
  await agent.told('joined')
  const [member] = plane.members.values()
  member!.incarnation = 2
  member!.credential = 'of the other'
  expect(await agent.exit).toBe(3)
  expect(plane.joins).toHaveLength(1)
})

test('a token that is not good is refused for good', async () => {
  const agent = startAgent([], 'deos_j_wrong_wrong_wrong')
  expect(await agent.exit).toBe(4)
  expect((await agent.told('ended')).message).toContain('The token cannot be used.')
})

test('a wrong option ends the agent before it touches anything', async () => {
  const agent = startAgent(['--speed', '2'])
  expect(await agent.exit).toBe(1)
  expect((await agent.told('ended')).message).toContain('--speed cannot be "2"')
  expect(readdirSync(home)).toEqual([])
})

test('a stage is fetched, loaded and reached; killed, it comes back at its address; let go, it is gone', async () => {
  plane.assign([await assignmentOf(whole())])
  const agent = startAgent()
  const loaded = await plane.heartbeatWith(({ stages }) => stages[0]?.state === 'loaded')
  const { linkAddress } = loaded.stages[0]!
  expect(linkAddress).toMatch(/^127\.0\.0\.1:\d+;key=[\w-]{43}$/)
  expect(loaded.stages[0]).toMatchObject({
    stageId: 'stage-1',
    generation: 1,
    loadedFraction: 1,
    problem: null,
  })
  expect(loaded.load.devices[0]).toMatchObject({ device: 'CPU', promisedBytes: 2 ** 21 + 2 ** 22 })
  expect(plane.blobReads).toBeGreaterThan(0)

  // What it has, it gives to others.
  const [member] = plane.members.values()
  const access = { address: member!.linkAddress!, ...plane.ticketFor(member!.machineId, member!.peerSecret) }
  const file = (await plane.offer(model)).files.find(({ name }) => name === 'config.json')!
  const peer = new PeerBlobs('machine-1', access)
  const range = { first: 0, end: file.sizeBytes }
  let text = ''
  for await (const chunk of await peer.read(file.digest, range, new AbortController().signal)) {
    text += Buffer.from(chunk).toString()
  }
  peer.close()
  expect(JSON.parse(text)).toEqual(JSON.parse(readFileSync(join(model, 'config.json'), 'utf8')))

  const agentPid = agentPidOf(agent)
  const [stage] = stagesOf(agentPid)
  if (process.platform === 'linux') {
    expect(readFileSync(`/proc/${stage}/environ`, 'utf8')).not.toContain(plane.token)
  }
  process.kill(stage!, 'SIGKILL')
  await plane.heartbeatWith(({ stages }) => stages[0]?.state === 'loading')
  const back = await plane.heartbeatWith(({ stages }) => stages[0]?.state === 'loaded')
  expect(back.stages[0]!.linkAddress).toBe(linkAddress)
  expect(stagesOf(agentPid)).not.toContain(stage)
  await expect
    .poll(() => plane.lines.map(({ message }) => message).join('\n'), { timeout: 10_000 })
    .toMatch(/died \(ended by SIGKILL/)
  expect(JSON.stringify(plane.lines)).not.toContain('5e5e')
  const logs = join(home, 'run', String(agentPid))
  expect(readdirSync(logs)).toEqual(['stage-stage-1.log'])

  plane.assign([])
  await plane.heartbeatWith(({ stages }) => stages.length === 0)
  expect(stagesOf(agentPid)).toEqual([])
  await expect.poll(() => readdirSync(join(home, 'machine', 'default', 'models'))).toEqual([])
})

const agentPidOf = (agent: AgentProcess): number => {
  const line = agent.log.split('\n').find((each) => each.includes('"pid"'))!
  return (JSON.parse(line) as { pid: number }).pid
}

test('a new generation of a stage is another process', async () => {
  const first = await assignmentOf(whole())
  plane.assign([first])
  const agent = startAgent()
  await plane.heartbeatWith(({ stages }) => stages[0]?.state === 'loaded')
  const [before] = stagesOf(agentPidOf(agent))
  plane.assign([{ ...first, generation: 2, ring: 'replica-1.2' } as StageAssignment])
  const report = await plane.heartbeatWith(
    ({ stages }) => stages[0]?.generation === 2 && stages[0].state === 'loaded',
  )
  expect(report.stages).toHaveLength(1)
  expect(stagesOf(agentPidOf(agent))).not.toContain(before)
})

test('two stages of one ring on one machine find each other', async () => {
  const end = layersOf()
  const cut = Math.floor(end / 2)
  const stageOf = (position: number, nextAddress: string | null) =>
    assignmentOf({
      ...({ stageId: `stage-${position}` } as Partial<StageAssignment>),
      ...{ position, stages: 2, layers: position === 0 ? { first: 0, end: cut } : { first: cut, end } },
      next: { stageId: `stage-${1 - position}`, machineId: 'machine-1', linkAddress: nextAddress } as never,
    })
  plane.assign([await stageOf(0, null), await stageOf(1, null)])
  const agent = startAgent()
  const listening = await plane.heartbeatWith(
    ({ stages }) => stages.length === 2 && stages.every(({ linkAddress }) => linkAddress !== null),
  )
  const addressOf = (position: number) =>
    listening.stages.find(({ stageId }) => stageId === `stage-${position}`)!.linkAddress!
  plane.assign([await stageOf(0, addressOf(1)), await stageOf(1, addressOf(0))])
  await plane.heartbeatWith(({ stages }) => stages.filter(({ state }) => state === 'loaded').length === 2)
  const logs = join(home, 'run', String(agentPidOf(agent)))
  const logText = () =>
    readdirSync(logs)
      .map((name) => readFileSync(join(logs, name), 'utf8'))
      .join('\n')
  await expect
    .poll(logText, { timeout: 20_000 })
    .toMatch(/Stage 0 reaches the next stage[\s\S]*Stage 1 reaches the next stage/)
})

test('a stage that cannot be loaded is told as failed, with the reason', async () => {
  plane.assign([await assignmentOf({ ...whole(), device: 'CUDA7' as never })])
  startAgent()
  const { stages } = await plane.heartbeatWith(({ stages }) => stages[0]?.state === 'failed')
  expect(stages[0]!.problem).toContain('CUDA7')
})

test('stages go on while the control plane is away, and are told of when it is back', async () => {
  plane.assign([await assignmentOf(whole())])
  const agent = startAgent()
  await plane.heartbeatWith(({ stages }) => stages[0]?.state === 'loaded')
  const [stage] = stagesOf(agentPidOf(agent))
  await plane.stop()
  await agent.told('unreachable')
  await plane.start()
  await agent.told('reachable')
  const { stages } = await plane.heartbeatWith(() => true)
  expect(stages[0]).toMatchObject({ state: 'loaded' })
  expect(stagesOf(agentPidOf(agent))).toEqual([stage])
  expect(plane.joins).toHaveLength(1)
})

test('stages end with an agent that is killed', async () => {
  plane.assign([await assignmentOf(whole())])
  const agent = startAgent()
  await plane.heartbeatWith(({ stages }) => stages[0]?.state === 'loaded')
  const [stage] = stagesOf(agentPidOf(agent))
  agent.kill('SIGKILL')
  await agent.exit
  await expect.poll(() => isAlive(stage!), { timeout: 20_000 }).toBe(false)
})

test('asked to stop, an agent waits until it is released, says goodbye and ends its stages', async () => {
  plane.assign([await assignmentOf(whole())])
  const agent = startAgent()
  await plane.heartbeatWith(({ stages }) => stages[0]?.state === 'loaded')
  const [stage] = stagesOf(agentPidOf(agent))
  agent.kill('SIGTERM')
  await plane.heartbeatWith(({ leaving, stages }) => leaving === true && stages[0]?.state === 'loaded')
  expect(plane.left).toEqual([])
  plane.released = true
  expect(await agent.exit).toBe(0)
  expect(plane.left).toEqual(['machine-1'])
  expect(isAlive(stage!)).toBe(false)
})

test('nobody who waits for a release waits for ever, and a second signal does not wait at all', async () => {
  const patient = startAgent(['--drain-limit', '300ms', '--name', 'patient'])
  await patient.told('joined')
  patient.kill('SIGTERM')
  expect(await patient.exit).toBe(0)
  expect(plane.left).toEqual(['machine-1'])
  const pressed = startAgent(['--name', 'pressed'])
  await pressed.told('joined')
  pressed.kill('SIGINT')
  await pressed.told('leaving')
  pressed.kill('SIGINT')
  expect(await pressed.exit).toBe(130)
})

test('links between machines are measured with the tickets of the control plane', async () => {
  const target = startAgent(['--name', 'target'])
  await target.told('joined')
  const [member] = plane.members.values()
  plane.peers = [
    {
      machineId: 'machine-1' as never,
      linkAddress: member!.linkAddress!,
      ...plane.ticketFor('machine-1', member!.peerSecret),
    },
  ]
  startAgent(['--name', 'source'])
  await expect.poll(() => plane.links.length, { timeout: 20_000 }).toBeGreaterThan(0)
  expect(plane.links[0]!.to).toBe('machine-1')
  expect(plane.links[0]!.roundTripMs).toBeGreaterThan(0)
  expect(plane.links[0]!.bytesPerSecond).toBeGreaterThan(1e6)
})
