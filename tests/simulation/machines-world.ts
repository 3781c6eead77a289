import { type MachineId, type Milliseconds, ms, type Random, seededRandom } from '@deos/domain'
import {
  emptyFleet,
  evolveFleet,
  type FleetCommand,
  FleetError,
  type FleetEvent,
  type FleetState,
  listMachines,
  liveMachines,
  type MachineSoftware,
} from '@deos/fleet'
import { VirtualTimers } from '@deos/transport/testing'
import { type Answer, ControlPlane, organisations } from './machines-control-plane.ts'
import { type Host, type JoinToken, MachineProcess } from './machines-process.ts'

const HOSTS = 60
const STARTS = 200
/** Starts and faults are drawn into this span. */
const BUSY_MS = 120_000
/** Until here messages may still be lost, late and doubled. */
const CALM_MS = 150_000
/** By then every late message has arrived, every stalled clock goes on, and every lease of the dead has run out. */
const SETTLED_MS = 230_000
const MAX_DELAY_MS = 25_000
const MAX_BACKWARD_MS = 40_000

const current: MachineSoftware = { version: '1.4.1', protocol: { min: 3, max: 3 } }
const foreign: MachineSoftware = { version: '2.0.0', protocol: { min: 4, max: 4 } }

const digest = (n: number): string => n.toString(16).padStart(64, '0')

/** Machines that start, die, come back, are copied and have odd clocks, around a control plane that crashes. */
export class MachinesWorld {
  readonly log: string[] = []
  readonly faults: string[] = []
  readonly plane: ControlPlane
  readonly #timers = new VirtualTimers()
  readonly #random: Random
  readonly #hosts: Host[] = []
  readonly #tokens: JoinToken[] = []
  /** That nobody may join with: made up, or another's secret. */
  readonly #false: readonly JoinToken[]
  #started = 0

  constructor(readonly seed: number) {
    this.#random = seededRandom(seed)
    this.plane = new ControlPlane(
      () => this.#nowMs(),
      seededRandom(seed + 1),
      (text) => this.#note(text),
    )
    for (let n = 0; n < HOSTS; n++) {
      this.#hosts.push({
        fingerprint: digest(1_000 + n),
        clockAheadMs: this.#draw(-1e9, 1e9),
        hardware: this.#draw(1, 30),
        software: this.#chance(0.05) ? foreign : current,
        processes: [],
      })
    }
    this.#createTokens()
    this.#false = [
      { id: 'made-up', secretDigest: digest(1) },
      { id: this.#tokens[0]!.id, secretDigest: digest(999) },
    ]
  }

  /** Runs everything to its end and returns what is wrong; empty if nothing is. */
  async run(): Promise<readonly string[]> {
    this.#every(1_000, () => this.plane.tick())
    for (let n = 0; n < STARTS; n++) this.#at(BUSY_MS, () => this.#launch())
    for (let n = 0; n < 40; n++) this.#at(BUSY_MS, () => this.#stopSome())
    for (let n = 0; n < 30; n++) this.#at(BUSY_MS, () => this.#jumpClock())
    for (let n = 0; n < 60; n++) this.#at(BUSY_MS, () => this.#operate())
    for (let n = 0; n < 3; n++) this.#at(BUSY_MS, () => this.#crashPlane())
    await this.#timers.runUntil(SETTLED_MS)
    return [
      ...this.plane.problems,
      ...this.#wrongList(),
      ...this.#wrongReasons(),
      ...this.#wrongIdentities(),
      ...this.#wrongTokens(),
      ...this.#wrongPrefixes(),
    ]
  }

  get started(): number {
    return this.#started
  }

  get processes(): readonly MachineProcess[] {
    return this.#hosts.flatMap(({ processes }) => processes)
  }

  #draw(min: number, max: number): number {
    return min + Math.floor(this.#random.next() * (max - min + 1))
  }

  #drawOf<T>(options: readonly T[]): T {
    return options[this.#draw(0, options.length - 1)]!
  }

  #chance(probability: number): boolean {
    return this.#random.next() < probability
  }

  /** By the control plane's clock. */
  #nowMs(): Milliseconds {
    return ms(1_700_000_000_000 + this.#timers.now())
  }

  #note(text: string): void {
    this.log.push(`${this.#timers.now().toFixed(0)} ${text}`)
  }

  #fault(text: string): void {
    this.faults.push(`${this.#timers.now()} ms: ${text}`)
    this.#note(`FAULT ${text}`)
  }

  #at(untilMs: number, run: () => void): void {
    this.#timers.after(this.#draw(0, untilMs), run)
  }

  #every(intervalMs: number, run: () => void): void {
    this.#timers.after(intervalMs, () => {
      run()
      this.#every(intervalMs, run)
    })
  }

  #createTokens(): void {
    const kinds: readonly (readonly [maxUses: number | null, lifeMs: number])[] = [
      [null, 1e9],
      [5, 1e9],
      [null, 20_000],
      [30, 60_000],
    ]
    for (const [maxUses, lifeMs] of kinds) this.#createToken(maxUses, this.#nowMs() + lifeMs)
  }

  #createToken(maxUses: number | null, expiresAtMs: number): void {
    const secretDigest = digest(this.#tokens.length + 1)
    const organisation = this.#tokens.length === 1 ? organisations[1] : organisations[0]
    const events = this.plane.command({
      type: 'createJoinToken',
      organisation,
      label: '',
      secretDigest,
      expiresAtMs: ms(expiresAtMs),
      maxUses,
    })
    const [event] = events as readonly [FleetEvent & { type: 'joinTokenCreated' }]
    this.#tokens.push({ id: event.token, secretDigest })
  }

  /** A process starts on some host: after the one before it, instead of it, or beside it. */
  #launch(): void {
    const host = this.#drawOf(this.#hosts)
    this.#started += 1
    const running = host.processes.filter(({ alive }) => alive)
    if (running.length > 0) {
      const how = this.#draw(0, 9)
      if (how < 5) for (const process of running) process.kill()
      else if (how < 8) for (const process of running) process.leave()
      else this.#fault(`a second process with the key of ${running[0]!.name}`)
    }
    if (this.#chance(0.15)) host.hardware = this.#draw(1, 30)
    if (this.#chance(0.1)) host.software = this.#drawOf([current, foreign])
    const name = `process-${this.#started}`
    const draw = this.#random.next()
    const token = draw < 0.1 ? null : draw < 0.14 ? this.#drawOf(this.#false) : this.#drawToken()
    const process = new MachineProcess(name, host, token, {
      timers: this.#timers,
      request: (serve, onAnswer) => this.#request(serve, onAnswer),
      note: (text) => this.#note(text),
    })
    host.processes.push(process)
    this.#note(`${name} starts on ${host.fingerprint.slice(-4)} with ${token?.id ?? 'no token'}`)
    this.#timers.after(this.#draw(0, 500), () => process.start())
  }

  /** Mostly the one that always serves. */
  #drawToken(): JoinToken {
    return this.#chance(0.6) ? this.#tokens[0]! : this.#drawOf(this.#tokens)
  }

  #stopSome(): void {
    const running = this.processes.filter(({ alive }) => alive)
    if (running.length === 0) return
    const process = this.#drawOf(running)
    const kill = this.#chance(0.7)
    this.#fault(`${process.name} ${kill ? 'is killed' : 'leaves'}`)
    if (kill) process.kill()
    else process.leave()
  }

  #jumpClock(): void {
    const host = this.#drawOf(this.#hosts)
    const jumpMs = this.#chance(0.5) ? this.#draw(0, 1e8) : -this.#draw(0, MAX_BACKWARD_MS)
    this.#fault(`the clock of ${host.fingerprint.slice(-4)} jumps by ${jumpMs} ms`)
    host.clockAheadMs += jumpMs
    for (const process of host.processes) process.clockJumped()
  }

  #operate(): void {
    if (!this.plane.up) return
    const draw = this.#draw(0, 15)
    if (draw === 0) {
      this.#createToken(this.#draw(1, 10), this.#nowMs() + 40_000)
      return
    }
    const command = draw === 1 ? this.#revocation() : this.#operation(draw)
    if (command === null) return
    const decision = this.plane.command(command)
    if (decision instanceof FleetError) this.#note(`operator refused: ${decision.message}`)
  }

  #revocation(): FleetCommand {
    return { type: 'revokeJoinToken', token: this.#drawOf(this.#tokens.slice(2)).id, reason: 'drawn' }
  }

  #operation(draw: number): FleetCommand | null {
    const machines = listMachines(this.plane.state, null)
    // What ends something is drawn among those for which there is something to end.
    const ending = { 8: 'draining', 9: 'draining', 12: 'quarantined', 13: 'quarantined' }[draw]
    const fitting = machines.filter(({ state }) => ending === undefined || state === ending)
    if (fitting.length === 0) return null
    const machine: MachineId = this.#drawOf(fitting).id
    const reason = 'drawn'
    if (draw < 4) return { type: 'cordon', machine, reason }
    if (draw < 6) return { type: 'uncordon', machine, reason }
    if (draw < 8) return { type: 'drain', machine, reason }
    if (draw < 10) return { type: 'drained', machine, placed: [] }
    if (draw < 12) return { type: 'quarantine', machine, reason }
    if (draw < 14) return { type: 'releaseFromQuarantine', machine, reason }
    return { type: 'remove', machine, reason, placed: [], force: false }
  }

  #crashPlane(): void {
    if (!this.plane.up) return
    this.#fault('the control plane crashes')
    this.plane.crash()
    this.#timers.after(this.#draw(0, 20_000), () => this.plane.restart())
  }

  #request(serve: (plane: ControlPlane) => Answer, onAnswer: (answer: Answer) => void): void {
    this.#carry(() => {
      if (!this.plane.up) return
      const answer = serve(this.plane)
      this.#carry(() => onAnswer(answer))
    })
  }

  /** One way through the network. */
  #carry(arrive: () => void): void {
    const calm = this.#timers.now() > CALM_MS
    const fate = this.#random.next()
    if (!calm && fate < 0.05) return
    if (!calm && fate < 0.1) this.#timers.after(this.#delayMs(), arrive)
    this.#timers.after(calm ? this.#draw(5, 50) : this.#delayMs(), arrive)
  }

  #delayMs(): number {
    const kind = this.#random.next()
    return this.#draw(5, kind < 0.85 ? 50 : kind < 0.97 ? 3_000 : MAX_DELAY_MS)
  }

  /** Exactly the live processes are listed as live machines, and know what they are. */
  #wrongList(): readonly string[] {
    const listed = new Map(liveMachines(this.plane.state, null).map((machine) => [machine.process, machine]))
    const problems: string[] = []
    for (const process of this.processes.filter(({ alive }) => alive)) {
      const machine = listed.get(process.name)
      listed.delete(process.name)
      if (machine === undefined) problems.push(`${process.name} lives, but is not listed as live`)
      else if (machine.id !== process.machine || machine.incarnation !== process.incarnation) {
        problems.push(`${process.name} takes itself for ${process.machine}, not for ${machine.id}`)
      } else if (machine.state === 'joining' || machine.state === 'benchmarking') {
        problems.push(`${machine.id} is stuck: ${machine.reason}`)
      }
    }
    return [...problems, ...[...listed.values()].map(({ id, process }) => `${id} (${process}) is a ghost`)]
  }

  #wrongReasons(): readonly string[] {
    return listMachines(this.plane.state, null).flatMap(({ id, presence, reason, state }) => {
      const known = presence.online || /^(No heartbeat for \d+(\.\d)? s|It left: )/.test(reason)
      return known ? [] : [`${id} is ${state} because "${reason}"`]
    })
  }

  /** One machine for each key for ever, and incarnations without a gap. */
  #wrongIdentities(): readonly string[] {
    const ids = new Map<string, string>()
    const reached = new Map<string, number>()
    return this.plane.log.flatMap((event) => {
      if (event.type !== 'machineJoined') return []
      const { fingerprint, machine, incarnation } = event
      const id = ids.get(fingerprint) ?? machine
      ids.set(fingerprint, id)
      const expected = (reached.get(machine) ?? 0) + 1
      reached.set(machine, incarnation)
      return [
        ...(id === machine ? [] : [`the key of ${id} also became ${machine}`]),
        ...(incarnation === expected ? [] : [`${machine} joined as ${incarnation}, not ${expected}`]),
      ]
    })
  }

  #wrongTokens(): readonly string[] {
    const joins = this.plane.log.filter((event) => event.type === 'machineJoined')
    const known = new Set<string>()
    const problems = joins.flatMap(({ machine, token, atMs }) => {
      const first = !known.has(machine)
      known.add(machine)
      if (token === null) return first ? [`${machine} joined without a token`] : []
      const { expiresAtMs, revoked } = this.plane.state.tokens.get(token)!
      const late = atMs >= expiresAtMs || (revoked !== null && atMs > revoked.atMs)
      return late ? [`${machine} joined with ${token} at ${atMs}, when that was void`] : []
    })
    for (const { id, uses, maxUses } of this.plane.state.tokens.values()) {
      const joined = joins.filter(({ token }) => token === id).length
      if (joined !== uses || (maxUses !== null && uses > maxUses)) {
        problems.push(`${id} was used ${joined} times, counted ${uses} of ${maxUses}`)
      }
    }
    return problems
  }

  /** The fold of what was stored is the state that was lived, event by event. */
  #wrongPrefixes(): readonly string[] {
    let folded = emptyFleet
    for (const [index, event] of this.plane.log.entries()) {
      folded = evolveFleet(folded, event)
      if (!sameFleet(folded, this.plane.history[index]!)) {
        return [`the state after event ${index} (${event.type}) is not the fold of the log`]
      }
    }
    return folded.version === this.plane.state.version ? [] : ['the log is not the whole story']
  }
}

const texts = new WeakMap<object, string>()

/** States share what an event did not touch, so that each part is turned into text once. */
function textOf(part: object): string {
  const known = texts.get(part)
  if (known !== undefined) return known
  const text = JSON.stringify(part)
  texts.set(part, text)
  return text
}

const sameParts = (a: ReadonlyMap<string, object>, b: ReadonlyMap<string, object>): boolean =>
  a.size === b.size && [...a].every(([key, part]) => b.has(key) && textOf(part) === textOf(b.get(key)!))

const sameFleet = (a: FleetState, b: FleetState): boolean =>
  a.version === b.version && sameParts(a.tokens, b.tokens) && sameParts(a.machines, b.machines)
