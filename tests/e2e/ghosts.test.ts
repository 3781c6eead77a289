import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Random, seededRandom } from '@deos/domain'
import { type ApiClient, eachItem } from '@deos/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { AgentProcess } from '../../apps/worker/src/agent/testing/agent-process.ts'
import {
  ControlPlaneProcess,
  type InstallationSecrets,
  installationEnv,
  newInstallation,
} from './control-plane-process.ts'
import { eventually } from './up-fleet.ts'

/** Twenty machines, each a real agent, and what happens to them. */

const seed = Number(process.env.DEOS_TEST_SEED ?? 20_261_122)
const EXIT_FENCED = 3
const EXIT_REFUSED = 4
const EXIT_IN_USE = 5
/** Starting one takes a core for a second or two. */
const AT_ONCE = 4

const fates = [
  ...Array<'stays'>(5).fill('stays'),
  ...Array<'killed'>(3).fill('killed'),
  ...Array<'restarted'>(4).fill('restarted'),
  ...Array<'left'>(3).fill('left'),
  ...Array<'copied'>(3).fill('copied'),
  ...Array<'doubled'>(2).fill('doubled'),
]

interface Live {
  readonly process: AgentProcess
  readonly incarnation: number
}

/** A machine as those know it who started its processes. */
class Machine {
  readonly id: string
  live: Live | null

  constructor(
    readonly name: string,
    readonly home: string,
    readonly process: AgentProcess,
    { machineId, incarnation }: { readonly machineId: string; readonly incarnation: number },
  ) {
    this.id = machineId
    this.live = { process, incarnation }
  }
}

let root: string
let secrets: InstallationSecrets
let plane: ControlPlaneProcess
let url: string
let client: ApiClient
const started: AgentProcess[] = []

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'deos-ghosts-'))
  secrets = newInstallation()
  plane = new ControlPlaneProcess(['--log-level', 'warn'], installationEnv(secrets))
  url = (await plane.ready()).url
  client = await plane.client(secrets.bootstrapKey)
})

afterAll(async () => {
  for (const agent of started) agent.kill('SIGKILL')
  await Promise.all(started.map(({ exit }) => exit))
  await plane.stop()
  rmSync(root, { recursive: true, force: true })
})

function start(name: string, home: string, token: string): AgentProcess {
  const agent = new AgentProcess(
    ['--url', url, '--home', home, '--name', name, '--memory', '1GiB', '--threads', '1'],
    token,
  )
  started.push(agent)
  return agent
}

/** One whose hardware was measured already: all of these are the same computer. */
function homeOf(name: string, measured: string | null): string {
  const home = join(root, name)
  const folder = join(home, 'machine', name)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  if (measured !== null) cpSync(measured, join(folder, 'benchmark.json'))
  return home
}

async function joinAs(name: string, home: string, token: string): Promise<Machine> {
  const process = start(name, home, token)
  return new Machine(name, home, process, await process.told('joined', 60_000))
}

async function meet(machine: Machine, fate: (typeof fates)[number]): Promise<void> {
  const { process } = machine.live!
  switch (fate) {
    case 'stays':
      return
    case 'killed':
      process.kill('SIGKILL')
      await process.exit
      machine.live = null
      return
    case 'restarted': {
      process.kill('SIGKILL')
      await process.exit
      await again(machine, machine.home)
      return
    }
    case 'left':
      process.kill('SIGTERM')
      expect(await process.exit).toBe(0)
      machine.live = null
      return
    case 'copied': {
      // As when a disk is cloned: the lock of the first computer means nothing to the second.
      const copy = join(root, `${machine.name}-copy`)
      cpSync(machine.home, copy, { recursive: true })
      rmSync(join(copy, 'machine', machine.name, 'lock'))
      await again(machine, copy)
      expect(await process.exit).toBe(EXIT_FENCED)
      return
    }
    case 'doubled':
      expect(await start(machine.name, machine.home, '').exit).toBe(EXIT_IN_USE)
  }
}

/** Another process of the same machine, which needs no token. */
async function again(machine: Machine, home: string): Promise<void> {
  const process = start(machine.name, home, '')
  const { machineId, incarnation } = await process.told('joined', 60_000)
  expect(machineId).toBe(machine.id)
  expect(incarnation).toBeGreaterThan(machine.live!.incarnation)
  machine.live = { process, incarnation }
}

const createToken = async (name: string, maxMachines: number | null = null): Promise<string> => {
  const { secret } = await client.joinTokens.create({ body: { name, maxMachines } })
  return secret
}

async function listed() {
  const machines = []
  for await (const machine of eachItem(client.machines.list, {})) machines.push(machine)
  return machines
}

/** A few at a time, in order. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items]
  const one = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, one))
}

function shuffled<T>(items: readonly T[], random: Random): readonly T[] {
  return items
    .map((item) => ({ item, at: random.next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)
}

test(`machines that join, die, come back and are copied end as exactly the live ones (seed ${seed})`, async () => {
  const random = seededRandom(seed)
  const names = fates.map((_, index) => `ghost-${String(index + 1).padStart(2, '0')}`)
  const token = await createToken('many')
  const machines: Machine[] = []
  const first = await joinAs(names[0]!, homeOf(names[0]!, null), token)
  machines.push(first)
  await first.process.told('benchmarked', 60_000)
  const measured = join(first.home, 'machine', first.name, 'benchmark.json')

  // The last two go for a token that one of them may use.
  const [lucky, unlucky] = names.slice(-2).map((name) => ({ name, home: homeOf(name, measured) }))
  const single = await createToken('single', 1)
  await each(names.slice(1, -2), async (name) => {
    machines.push(await joinAs(name, homeOf(name, measured), token))
  })
  const rivals = [lucky!, unlucky!].map((rival) => ({
    ...rival,
    process: start(rival.name, rival.home, single),
  }))
  const outcomes = await Promise.all(
    rivals.map(async ({ process }) =>
      Promise.race([process.told('joined', 60_000), process.exit.then((code) => code)]),
    ),
  )
  const winner = outcomes.findIndex((outcome) => typeof outcome === 'object')
  expect(outcomes[1 - winner]).toBe(EXIT_REFUSED)
  const won = rivals[winner]!
  machines.push(
    new Machine(
      won.name,
      won.home,
      won.process,
      outcomes[winner] as { machineId: string; incarnation: number },
    ),
  )
  const lost = rivals[1 - winner]!
  expect(await start(lost.name, lost.home, 'deos_j_'.padEnd(50, 'A')).exit).toBe(EXIT_REFUSED)
  machines.push(await joinAs(lost.name, lost.home, token))
  // A token that is used up keeps nobody out who is a member.
  expect(machines).toHaveLength(20)

  const drawn = shuffled(fates, random)
  await each(
    shuffled(
      machines.map((machine, index) => ({ machine, fate: drawn[index]! })),
      random,
    ),
    ({ machine, fate }) => meet(machine, fate),
  )

  const liveNames = machines
    .filter(({ live }) => live !== null)
    .map(({ name }) => name)
    .sort()
  expect(liveNames).toHaveLength(fates.filter((fate) => fate !== 'killed' && fate !== 'left').length)
  const present = async () =>
    (await listed())
      .filter(({ state }) => state === 'ready')
      .map(({ name }) => name)
      .sort()
  await eventually(
    'exactly the live machines',
    async () => (JSON.stringify(await present()) === JSON.stringify(liveNames) ? true : undefined),
    30_000,
  ).catch(async () => expect(await present()).toEqual(liveNames))

  const all = await listed()
  expect(all.map(({ name }) => name).sort()).toEqual(names)
  expect(new Set(all.map(({ id }) => id)).size).toBe(20)
  for (const { id, name, state, incarnation, lease } of all) {
    const machine = machines.find((each) => each.name === name)!
    expect(id, name).toBe(machine.id)
    expect(state, name).toBe(machine.live === null ? 'offline' : 'ready')
    if (machine.live === null) continue
    expect(incarnation, name).toBe(machine.live.incarnation)
    expect(lease, name).not.toBeNull()
    expect(
      machine.live.process.events.some(({ event }) => event === 'ended'),
      name,
    ).toBe(false)
  }
}, 180_000)
