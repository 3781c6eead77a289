import { type DeploymentId, type MachineId, type Random, seededRandom } from '@deos/domain'
import { DeploymentError, type DeploymentEvent, promisedStages } from '@deos/fleet'
import { asc, eq } from 'drizzle-orm'
import { expect, test } from 'vitest'
import type { Database } from '../database/database.ts'
import { events } from '../database/schema/index.ts'
import { describeDatabases } from '../database/testing/databases.ts'
import { callerOf, found, ours, TestControl, TestWorld, wishFor } from './testing/world.ts'

const seeds = [1, 2]

describeDatabases('two control planes over one database', (open, again) => {
  test.each(seeds)(
    'lose no work and place no stage twice, also when one stops midway (seed %i)',
    async (seed) => {
      const database = await open()
      await found(database)
      const world = new TestWorld()
      const load = new Load(seed, world, [
        await TestControl.open(database, world, 'a'),
        await TestControl.open(await again(database), world, 'b'),
      ])
      await load.create()
      for (let turn = 0; turn < 12; turn += 1) await load.turn()
      await load.stopFirst()
      for (let turn = 0; turn < 6; turn += 1) await load.turn()
      await load.calm()

      const { control } = load
      for (const { replicas, leaving, desiredReplicas } of control.deployments) {
        expect(replicas.filter(({ phase }) => phase === 'ready')).toHaveLength(desiredReplicas)
        expect(replicas).toHaveLength(desiredReplicas)
        expect(leaving).toEqual([])
      }
      const held = [...world.machines.values()].flatMap((machine) => [...machine.held.keys()])
      const promised = [...promisedStages(control.log.state)].map(({ id }) => id)
      expect(held.sort()).toEqual(promised.sort())
      await expectNoStageTwice(database)
      await control.stop()
    },
    120_000,
  )
})

/** Wishes and troubles drawn from a seed, while both control planes do what they find to do at the same time. */
class Load {
  readonly #random: Random
  readonly #deployments: DeploymentId[] = []
  #controls: readonly TestControl[]

  constructor(
    seed: number,
    private readonly world: TestWorld,
    controls: readonly TestControl[],
  ) {
    this.#random = seededRandom(seed)
    this.#controls = controls
    for (const name of ['one', 'two', 'three', 'four']) world.machine(name, ours, 60 + this.#below(100))
  }

  get control(): TestControl {
    return this.#controls.at(-1)!
  }

  async create(): Promise<void> {
    for (const name of ['chat', 'search']) {
      const { id } = await this.control.service.wishes.create(wishFor(ours, name), callerOf(ours))
      this.#deployments.push(id)
    }
  }

  async turn(): Promise<void> {
    if (this.#chance(0.3)) this.#trouble()
    const work = this.#controls.flatMap((control) => [this.#wish(control), control.round()])
    await Promise.all(work)
    for (const control of this.#controls) this.#checkRoom(control)
  }

  /** In the midst of its work, without a word. */
  async stopFirst(): Promise<void> {
    const [first, ...others] = this.#controls
    const last = first!.service.reconciler.runOnce()
    this.#controls = others
    await Promise.all([last, this.control.round()])
    await first!.stop()
  }

  async calm(): Promise<void> {
    for (const machine of this.world.machines.values()) if (!machine.running) machine.restart()
    for (const name of ['five', 'six', 'seven', 'eight']) this.world.machine(name, ours, 240)
    this.world.nowMs += 600_000
    for (const deployment of this.#deployments) {
      await this.control.service.wishes.wish({ type: 'resume', deployment }, callerOf(ours))
    }
    for (let round = 0; round < 25; round += 1) {
      await this.control.round()
      // Failures and refusals have long waits behind them.
      this.world.nowMs += 60_000
    }
  }

  #trouble(): void {
    const machines = [...this.world.machines.values()]
    const machine = machines[this.#below(machines.length)]!
    if (!machine.running) machine.restart()
    else if (this.#chance(0.5)) {
      machine.running = false
      machine.standing = 'lost'
    } else machine.failing = 1
  }

  async #wish({ service }: TestControl): Promise<void> {
    const deployment = this.#deployments[this.#below(this.#deployments.length)]!
    const caller = callerOf(ours)
    try {
      switch (this.#below(5)) {
        case 0:
          await service.wishes.wish({ type: 'scale', deployment, replicas: 1 + this.#below(2) }, caller)
          break
        case 1: {
          const precision = this.#chance(0.5) ? 'Q8_0' : 'native'
          await service.wishes.revise(deployment, { changes: { precision } }, caller)
          break
        }
        case 2:
          await service.wishes.wish({ type: 'rollback', deployment, revision: 1 }, caller)
          break
        case 3:
          await service.wishes.wish({ type: 'pause', deployment, reason: 'quiet' }, caller)
          break
        default:
          await service.wishes.wish({ type: 'resume', deployment }, caller)
      }
    } catch (error) {
      if (!(error instanceof DeploymentError)) throw error
    }
  }

  #checkRoom({ log }: TestControl): void {
    const promised = new Map<MachineId, number>()
    for (const { machine, weightBytes, kvBytes } of promisedStages(log.state)) {
      promised.set(machine, (promised.get(machine) ?? 0) + weightBytes + kvBytes)
    }
    for (const [machine, size] of promised) {
      expect(size).toBeLessThanOrEqual(this.world.machines.get(machine)!.freeBytes)
    }
  }

  #chance(probability: number): boolean {
    return this.#random.next() < probability
  }

  #below(count: number): number {
    return Math.floor(this.#random.next() * count)
  }
}

async function expectNoStageTwice(database: Database): Promise<void> {
  const rows = await database.queries
    .select({ data: events.data })
    .from(events)
    .where(eq(events.stream, 'deployments'))
    .orderBy(asc(events.version))
  const placed = rows
    .map(({ data }) => data as DeploymentEvent)
    .flatMap((event) => (event.type === 'replicaPlaced' ? [event] : []))
  const stages = placed.flatMap((event) => event.stages.map(({ id }) => id))
  expect(new Set(stages).size).toBe(stages.length)
  const generations = placed.map(({ replica, generation }) => `${replica} ${generation}`)
  expect(new Set(generations).size).toBe(generations.length)
  expect(placed.length).toBeGreaterThan(3)
}
