import { DomainError, type Random, seededRandom } from '@deos/domain'
import { listMachines, liveMachines } from '@deos/fleet'
import { acme, operator, request, type TestClock, TestMachine, type TestPlane } from './test-plane.ts'

const HOSTS = 12
/** After these a process gives up; after any other refusal it joins again. */
const final: readonly string[] = [
  'MACHINE_FENCED',
  'MACHINE_REMOVED',
  'TOKEN_UNKNOWN',
  'TOKEN_USED_UP',
  'TOKEN_EXPIRED',
  'TOKEN_MISSING',
]
/** By then leases of the dead have run out, however the clock was turned. */
const SETTLE_S = 40

/** Processes on some hosts that come, go, and are copied, around control planes that are replaced. */
export class GhostWorld {
  readonly log: string[] = []
  readonly #random: Random
  readonly #hosts: TestMachine[][] = Array.from({ length: HOSTS }, () => [])
  #tokens: readonly string[] = []

  constructor(
    seed: number,
    private readonly planes: TestPlane[],
    private readonly clock: TestClock,
    private readonly openPlane: () => Promise<TestPlane>,
  ) {
    this.#random = seededRandom(seed)
  }

  /** @returns what is wrong in the end */
  async run(operations: number): Promise<readonly string[]> {
    const any = await this.#plane().createToken(acme)
    const few = await this.#plane().createToken(acme, { maxMachines: 4 })
    this.#tokens = [any.secret, any.secret, any.secret, few.secret, 'deos_j_which_nobody_made']
    for (let count = 0; count < operations; count += 1) {
      await this.#operate()
      await this.#second()
    }
    for (let count = 0; count < SETTLE_S; count += 1) await this.#second()
    return this.#problems()
  }

  get living(): readonly TestMachine[] {
    return this.#hosts.flat()
  }

  async #operate(): Promise<void> {
    const host = this.#of(this.#hosts)
    const draw = this.#draw(20)
    if (draw < 7) await this.#start(host)
    else if (draw < 10) await this.#restart(host)
    else if (draw < 13) this.#kill(host)
    else if (draw < 15) await this.#startTwin(host)
    else if (draw < 16) await this.#leave(host)
    else if (draw < 17) await this.#remove(host)
    else if (draw < 18) await this.#joinTwice(host)
    else if (draw < 19) this.#turnClock()
    else await this.#replacePlane()
  }

  async #start(host: TestMachine[]): Promise<void> {
    if (host.length > 0) return
    await this.#join(host, new TestMachine(this.#of(this.#tokens), 'box'))
  }

  async #restart(host: TestMachine[]): Promise<void> {
    const [before] = host.splice(0)
    if (before !== undefined) await this.#join(host, before.twin())
  }

  #kill(host: TestMachine[]): void {
    if (host.pop() !== undefined) this.log.push('killed')
  }

  /** Both run until one is fenced. */
  async #startTwin(host: TestMachine[]): Promise<void> {
    const [first] = host
    if (first !== undefined) await this.#join(host, first.twin())
  }

  async #leave(host: TestMachine[]): Promise<void> {
    const machine = host.pop()
    if (machine === undefined) return
    this.log.push('leaves')
    await machine.leave(this.#plane()).catch((error: unknown) => this.#codeOf(error))
  }

  async #remove(host: TestMachine[]): Promise<void> {
    const [machine] = host
    const id = machine?.joined?.machineId
    if (id === undefined || this.#draw(2) === 0) return
    this.log.push('removed')
    const params = { machine: machine!.id }
    const removal = async () =>
      this.#plane().handlers.machines.remove(request({ params, query: { force: true } }), operator(acme))
    await removal().catch((error: unknown) => this.#codeOf(error))
  }

  async #joinTwice(host: TestMachine[]): Promise<void> {
    if (host.length > 0) return
    const machine = new TestMachine(this.#tokens[0]!, 'box')
    const body = await machine.joinBody(this.#plane())
    const [first, second] = await Promise.all([
      machine.send(this.#plane(), body),
      machine.send(this.#plane(), body),
    ])
    machine.joined = this.#draw(2) === 0 ? first : second
    host.push(machine)
    // Its credential is the one that was issued last.
    machine.joined = await machine.send(this.#plane(), body)
    this.log.push('joined three times')
  }

  #turnClock(): void {
    const byMs = (this.#draw(2) === 0 ? -1 : 6) * this.#draw(10_000)
    this.log.push(`clock ${byMs} ms`)
    this.clock.nowMs += byMs
  }

  async #replacePlane(): Promise<void> {
    const index = this.#draw(this.planes.length)
    this.log.push('control plane replaced')
    const before = this.planes[index]!
    await (this.#draw(2) === 0 ? before.crash() : before.stop())
    this.planes[index] = await this.openPlane()
  }

  async #join(host: TestMachine[], machine: TestMachine): Promise<void> {
    try {
      await machine.join(this.#plane())
      host.push(machine)
      this.log.push('joined')
    } catch (error) {
      this.log.push(`refused: ${this.#codeOf(error)}`)
    }
  }

  /** Everybody beats; control planes do what they do by themselves. */
  async #second(): Promise<void> {
    this.clock.nowMs += 1_000
    for (const host of this.#hosts) {
      for (const machine of [...host]) {
        if (!(await this.#beat(machine))) host.splice(host.indexOf(machine), 1)
      }
    }
    for (const plane of this.planes) {
      await plane.service.exchange()
      await plane.service.watch()
    }
  }

  /** False if the process gives up. */
  async #beat(machine: TestMachine): Promise<boolean> {
    try {
      const { missingReport } = await machine.beat(this.#plane())
      if (missingReport !== null) await machine.report(this.#plane())
      return true
    } catch (error) {
      const code = this.#codeOf(error)
      this.log.push(`beat: ${code}`)
      if (final.includes(code)) return false
      if (code === 'MACHINE_REJOIN') await machine.join(this.#plane()).catch(() => {})
      return true
    }
  }

  /** Exactly the living processes are listed as live machines, under names of their own. */
  async #problems(): Promise<readonly string[]> {
    const problems: string[] = []
    for (const [index, plane] of this.planes.entries()) {
      await plane.fleet.refresh()
      const { state } = plane.fleet
      const listed = new Map(liveMachines(state, acme).map((machine) => [machine.process, machine]))
      for (const { process, joined } of this.living) {
        const machine = listed.get(process)
        listed.delete(process)
        if (machine === undefined) problems.push(`${index}: ${process} lives, but is not listed`)
        else if (machine.id !== joined?.machineId || machine.state !== 'ready') {
          problems.push(`${index}: ${process} is ${machine.id}, ${machine.state}`)
        }
      }
      for (const { id } of listed.values()) problems.push(`${index}: ${id} is a ghost`)
      const names = (await plane.listed(acme)).map((text) => text.split(' ')[0])
      if (new Set(names).size !== names.length) problems.push(`${index}: names ${names.join(', ')}`)
      if (names.length !== listMachines(state, acme).length) problems.push(`${index}: not all are listed`)
    }
    return problems
  }

  #codeOf(error: unknown): string {
    if (error instanceof DomainError) return error.code
    throw error
  }

  #plane(): TestPlane {
    return this.#of(this.planes)
  }

  #of<T>(options: readonly T[]): T {
    return options[this.#draw(options.length)]!
  }

  #draw(below: number): number {
    return Math.floor(this.#random.next() * below)
  }
}
