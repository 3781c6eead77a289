import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { seededRandom } from '@deos/domain'
import { type ApiClient, type ApiEvent, connect, eachItem, type StageAssignment } from '@deos/sdk'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestServer } from '../../apps/control-plane/src/database/testing/test-server.ts'
import {
  ControlPlaneProcess,
  type InstallationSecrets,
  installationEnv,
  newInstallation,
} from './control-plane-process.ts'
import { SimulatedGateway } from './simulated-gateway.ts'
import { heldBytes, SimulatedMachine } from './simulated-machine.ts'
import { SimulatedOperator } from './simulated-operator.ts'

const modelPath = fileURLToPath(new URL('../../models/deos-7m', import.meta.url))
const seed = Number(process.env.DEOS_TEST_SEED ?? 20_261_122)
const heartbeatMs = 500
const leaseMs = 4_000
/** Share of a machine's own memory that stages may have. */
const usableShare = 0.6
/** A replica takes about 80 MB at 8 sessions: one fits a large machine, and two small ones together. */
const memories = [150e6, 90e6]
const operatorCount = 4
const roundsBeforeKill = 10
const roundsAfterKill = 10
const settleLimitMs = 60_000

const missing = await TestServer.missing()
if (missing !== null) console.log(`Two control planes are not tested: ${missing}.`)

/** A part of the installation, and how it is reached. */
interface Plane {
  readonly process: ControlPlaneProcess
  readonly url: string
  readonly client: ApiClient
}

/** Where stages were seen, for good: by id and generation. */
class StageWatch {
  readonly problems: string[] = []
  readonly #machines = new Map<string, string>()
  mostStages = 0

  see(machine: SimulatedMachine, assignments: readonly StageAssignment[]): void {
    const held = assignments.reduce((sum, assignment) => sum + heldBytes(assignment), 0)
    if (held > machine.memoryBytes * usableShare) {
      this.problems.push(`${machine.name} is to hold ${held} bytes of ${machine.memoryBytes}.`)
    }
    for (const { stageId, generation } of assignments) {
      const key = `${stageId} ${generation}`
      const before = this.#machines.get(key) ?? machine.name
      if (before !== machine.name) {
        this.problems.push(`Stage ${key} is on ${before} and on ${machine.name}.`)
      }
      this.#machines.set(key, machine.name)
    }
    this.mostStages = Math.max(this.mostStages, this.#machines.size)
  }
}

class World {
  readonly random = seededRandom(seed)
  readonly watch = new StageWatch()
  readonly machines: SimulatedMachine[] = []
  readonly operators: SimulatedOperator[] = []
  readonly secrets: InstallationSecrets = newInstallation()
  #planes: Plane[] = []

  constructor(readonly databaseUrl: string) {}

  get living(): readonly Plane[] {
    return this.#planes
  }

  async start(): Promise<Plane> {
    const process = new ControlPlaneProcess(
      [
        ...['--model-folders', modelPath, '--heartbeat', `${heartbeatMs}`, '--lease', `${leaseMs}`],
        ...['--log-level', 'warn'],
      ],
      { DATABASE_URL: this.databaseUrl, ...installationEnv(this.secrets) },
    )
    const { url } = await process.ready()
    const client = connect({ url, token: this.secrets.bootstrapKey, retry: { maxAttempts: 1 } })
    const plane = { process, url, client }
    this.#planes.push(plane)
    return plane
  }

  async kill(plane: Plane): Promise<void> {
    plane.process.signal('SIGKILL')
    await plane.process.ended
    this.#planes = this.#planes.filter((other) => other !== plane)
  }

  any(): Plane {
    return this.#planes[Math.floor(this.random.next() * this.#planes.length)]!
  }

  readonly otherThan = (url: string): string =>
    this.#planes.find((plane) => plane.url !== url)?.url ?? this.#planes[0]!.url

  async addMachines(count: number): Promise<void> {
    const { client } = this.any()
    const { secret: joinToken } = await client.joinTokens.create({ body: { name: 'simulated' } })
    const { version } = await client.session.version()
    const joins = Array.from({ length: count }, async (_, index) => {
      const machine = new SimulatedMachine(this.#planes[index % this.#planes.length]!.url, {
        ...{ name: `sim-${index}`, joinToken, version, heartbeatMs },
        memoryBytes: memories[index % memories.length]!,
        otherThan: this.otherThan,
        onAssignments: (machine, assignments) => this.watch.see(machine, assignments),
      })
      await machine.join()
      return machine
    })
    this.machines.push(...(await Promise.all(joins)))
  }

  async stop(): Promise<void> {
    await Promise.all(this.machines.map((machine) => machine.stop()))
    for (const plane of this.#planes) plane.process.signal('SIGKILL')
    await Promise.all(this.#planes.map((plane) => plane.process.ended))
  }
}

/** Waits until `read` gives what is asked for. @throws Error with what it gave last */
async function eventually<T>(read: () => Promise<T>, isSo: (value: T) => boolean, limitMs = settleLimitMs) {
  const end = performance.now() + limitMs
  for (;;) {
    const value = await read()
    if (isSo(value)) return value
    if (performance.now() > end) throw new Error(`It did not come to be: ${JSON.stringify(value, null, 1)}`)
    await sleep(200)
  }
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

const eventsOf = (client: ApiClient, type?: ApiEvent['type']) =>
  all(eachItem(client.events.list, { order: 'oldest', limit: 200, ...(type && { type: [type] }) }))

describe.skipIf(missing !== null)(`two control planes over one PostgreSQL (seed ${seed})`, () => {
  let world: World
  let drop: () => Promise<void>
  let gateways: readonly SimulatedGateway[]
  let lost: SimulatedMachine

  beforeAll(async () => {
    const database = await (await TestServer.shared()).createDatabase()
    drop = database.drop
    world = new World(database.url)
    await world.start()
    await world.start()
    const [first] = world.living
    const { id: modelId } = await first!.client.models.create({
      body: { source: { kind: 'path', path: modelPath } },
    })
    await eventually(
      () => first!.client.models.show({ params: { model: modelId } }),
      ({ state }) => state === 'ready',
    )
    await world.addMachines(12)
    for (let index = 0; index < operatorCount; index += 1) {
      world.operators.push(
        new SimulatedOperator({
          ...{ name: `op${index}`, modelId, sessions: [7, 9], mostReplicas: 2 },
          random: seededRandom(seed + index + 1),
          client: () => world.any().client,
        }),
      )
    }
    const { items: projects } = await first!.client.projects.list()
    const { id: projectId, organisationId } = projects[0]!
    gateways = world.living.map(({ url }, index) => {
      const { gatewayToken: token } = world.secrets
      const { otherThan } = world
      return new SimulatedGateway(url, {
        ...{ name: `gateway-${index}`, token, otherThan, organisationId, projectId },
      })
    })
    for (const gateway of gateways) gateway.run()
  })

  afterAll(async () => {
    await Promise.all((gateways ?? []).map((gateway) => gateway.stop()))
    await world?.stop()
    await drop?.()
  })

  test('people, machines and gateways go on while one of them is killed', { timeout: 150_000 }, async () => {
    const [first] = world.living
    const actSome = async (operator: SimulatedOperator, rounds: number) => {
      for (let round = 0; round < rounds; round += 1) {
        await operator.act()
        await sleep(100 + world.random.next() * 400)
      }
    }
    const recorded = gateways.map((gateway) => gateway.recordAt(world.living.map(({ url }) => url)))
    await Promise.all(world.operators.map((operator) => actSome(operator, roundsBeforeKill)))
    const during = world.operators.map((operator) => actSome(operator, roundsAfterKill))
    await sleep(200)
    await world.kill(first!)
    await sleep(1_000)
    // Of those that stay with the other one, one with stages dies, too.
    const { items } = await world.any().client.machines.list({ query: { limit: 100 } })
    const busy = new Set(items.filter(({ stages }) => stages.length > 0).map(({ name }) => name as string))
    lost = world.machines.find(({ name, moves }) => moves === 0 && busy.has(name)) ?? world.machines.at(-1)!
    await lost.stop()
    await Promise.all(during)
    await Promise.all(recorded)
    for (const operator of world.operators) {
      if (operator.wish === null) await operator.create()
      else if (operator.wish.replicas === 0) await operator.scale(1)
    }
    const accepted = world.operators.flatMap((operator) => [...operator.accepted.keys()])
    expect(new Set(accepted)).toEqual(new Set(['create', 'scale', 'revise', 'rollback', 'remove']))
    expect(world.machines.filter(({ moves }) => moves > 0)).not.toEqual([])
  })

  test('every wish that was accepted is fulfilled', { timeout: settleLimitMs + 10_000 }, async () => {
    const { client } = world.any()
    const wishes = world.operators.map(({ wish }) => wish!)
    const shown = await eventually(
      () => all(eachItem(client.deployments.list, { limit: 100 })),
      (deployments) =>
        deployments.length === wishes.length &&
        deployments.every(
          ({ state, replicas: { wanted, ready, updated, starting, draining } }) =>
            state === 'ready' && ready === wanted && updated === wanted && starting + draining === 0,
        ),
    )
    expect(
      shown.map(({ id, name, spec, replicas }) => ({
        ...{ id, name, sessions: spec.sessions, replicas: replicas.ready },
      })),
    ).toEqual(
      wishes
        .map(({ id, name, sessions, replicas }) => ({ id, name, sessions, replicas }))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    )
  })

  test('no stage was placed twice, and no machine was to hold more than its memory', async () => {
    expect(world.watch.problems).toEqual([])
    expect(world.watch.mostStages).toBeGreaterThan(operatorCount)
    const { client } = world.any()
    const stages = new Map<string, string>()
    for (const { wish } of world.operators) {
      const { replicas } = await client.deployments.show({ params: { deployment: wish!.id } })
      for (const replica of replicas) {
        const ranges = replica.stages.map(({ layers }) => layers)
        expect(ranges.map(({ first }) => first)).toEqual([0, ...ranges.slice(0, -1).map(({ end }) => end)])
        expect(ranges.at(-1)!.end).toBe(8)
        for (const { id, machineId } of replica.stages) {
          expect(stages.has(id)).toBe(false)
          stages.set(id, machineId)
        }
      }
    }
    const held = await all(eachItem(client.machines.list, { limit: 100 }))
    expect(
      new Map(held.flatMap((machine) => machine.stages.map(({ stageId }) => [stageId, machine.id]))),
    ).toEqual(stages)
  })

  test('machines that live are ready, and none was lost that kept beating', async () => {
    const { client } = world.any()
    const listed = await all(eachItem(client.machines.list, { limit: 100 }))
    const stateOf = (machine: SimulatedMachine) => listed.find(({ id }) => id === machine.id)?.state
    expect(listed).toHaveLength(world.machines.length)
    for (const machine of world.machines) {
      expect(stateOf(machine), machine.name).toBe(machine === lost ? 'offline' : 'ready')
    }
    const offline = await eventsOf(client, 'machine.offline')
    const fallen = new Set(offline.map(({ data }) => (data as { machineId: string }).machineId))
    const beating = world.machines.filter(
      (machine) => machine !== lost && machine.longestSilenceMs < leaseMs - 2 * heartbeatMs,
    )
    expect(beating.filter(({ id }) => fallen.has(id)).map(({ name }) => name)).toEqual([])
    expect(fallen.has(lost.id)).toBe(true)
  })

  test('streams of events have no gaps, and whoever starts later tells the same', async () => {
    const database = new pg.Client({ connectionString: world.databaseUrl })
    await database.connect()
    const { rows } = await database.query(
      'select stream, count(*)::int, min(version), max(version) from events where version is not null group by stream order by stream',
    )
    await database.end()
    expect(rows.map(({ stream }) => stream)).toEqual(['deployments', 'fleet'])
    for (const { stream, count, min, max } of rows) {
      expect([min, max], stream).toEqual([1, count])
    }
    const [old] = world.living
    const fresh = await world.start()
    const tellings = [old!, fresh].map(async ({ client }) => ({
      deployments: (await all(eachItem(client.deployments.list, { limit: 100 }))).map(
        ({ id, state, replicas, revision }) => ({ id, state, replicas, revision }),
      ),
      machines: (await all(eachItem(client.machines.list, { limit: 100 }))).map(
        ({ id, state, stages, incarnation }) => ({ id, state, stages, incarnation }),
      ),
      events: (await eventsOf(client)).map(({ sequence, type }) => ({ sequence, type })),
    }))
    const [known, told] = await Promise.all(tellings)
    expect(told).toEqual(known)
    const sequences = known!.events.map(({ sequence }) => sequence)
    expect(sequences).toEqual([...new Set(sequences)].sort((a, b) => a - b))
  })

  test('gateways are told of every ring that is ready', async () => {
    const { client } = world.any()
    const ready = new Set<string>()
    for (const { wish } of world.operators) {
      const { replicas } = await client.deployments.show({ params: { deployment: wish!.id } })
      for (const { id } of replicas) ready.add(id)
    }
    for (const gateway of gateways) {
      await eventually(
        async () => gateway.replicas.map(({ replicaId }) => replicaId),
        (known) => known.length === ready.size && known.every((id) => ready.has(id)),
      )
    }
  })

  test('requests that both of them were told of were counted and charged once', async () => {
    const { client } = world.any()
    const requests = gateways.flatMap((gateway) => gateway.requests)
    expect(requests.length).toBeGreaterThan(100)
    const { total } = await client.usage.show()
    const cost = requests.reduce((sum, request) => sum + BigInt(request.cost.microUnits), 0n)
    expect(total).toMatchObject({
      requests: requests.length,
      promptTokens: requests.reduce((sum, { promptTokens }) => sum + promptTokens, 0),
      completionTokens: requests.reduce((sum, { completionTokens }) => sum + completionTokens, 0),
      cost: { currency: 'USD', microUnits: String(cost) },
    })
    const logged = await all(eachItem(client.requests.list, { limit: 200 }))
    expect(new Set(logged.map(({ id }) => id as string))).toEqual(
      new Set(requests.map(({ id }) => id as string)),
    )
    const charged = requests.filter(({ reserved }) => reserved)
    const owed = charged.reduce((sum, request) => sum + BigInt(request.cost.microUnits), 0n)
    const { balance, reserved } = await client.ledger.balance()
    expect([balance.microUnits, reserved.microUnits]).toEqual([String(-owed), '0'])
  })
})
