import { SimulationInputError } from '../errors.ts'
import { EventQueue } from '../events/event-queue.ts'
import { type Flight, MachineState } from './machine-state.ts'
import { checkOutages, type Outage } from './outages.ts'
import { atSink, atSource, type Router } from './routing/router.ts'
import { checkServingFleet, type ServingFleet } from './serving-fleet.ts'
import { Samples, type ServingResult } from './serving-result.ts'
import type { RequestLengths, Workload } from './workload.ts'

export interface ServingRun {
  readonly fleet: ServingFleet
  readonly router: Router
  readonly workload: Workload
  /** What counts: `[fromMs, toMs)`. A closed workload ends with it, an open one when its last request has ended. */
  readonly window: { readonly fromMs: number; readonly toMs: number }
  /**
   * How long a machine waits behind a batch for sequences that come straight back, so that they join the next one; 0 if
   * it takes at once what waits. A little is what engines do that step all their sequences together.
   */
  readonly gatherMs?: number
  /** When machines are not there; they come back empty. */
  readonly outages?: readonly Outage[]
}

/** A request that is to begin. */
interface Coming extends RequestLengths {
  /** Of one that begins anew: since when its prompt or step is under way. */
  readonly sinceMs?: number
  readonly resumed?: boolean
}

const created = 0
const arrived = 1
const computed = 2
const gathered = 3
const lost = 4
const back = 5

/** Plays requests through a fleet. The same run gives the same result. */
export function simulateServing(run: ServingRun): ServingResult {
  return new ServingSimulation(run).run()
}

class ServingSimulation {
  private readonly queue = new EventQueue()
  private readonly machines: readonly MachineState[]
  private readonly flights: (Flight | null)[] = []
  private readonly coming = new Map<number, Coming>()
  /** They wait for machines to come back. */
  private stranded: Coming[] = []
  private readonly stride: number
  private readonly bytesPerMs: Float64Array
  private readonly latencyMs: Float64Array
  private readonly freeAtMs: Float64Array
  private readonly promptMs = new Samples()
  private readonly decodeMs = new Samples()
  private decoded = 0
  private finished = 0
  private turnedAway = 0
  private restarted = 0
  private machinesLost = 0
  private nextId = 0
  private events = 0
  private inWave = false

  constructor(private readonly given: ServingRun) {
    const { fleet, window } = given
    checkServingFleet(fleet)
    checkOutages(given.outages ?? [], fleet, given.router)
    if (!(window.toMs > window.fromMs && window.fromMs >= 0)) {
      throw new SimulationInputError(
        'window',
        `[${window.fromMs}, ${window.toMs})`,
        'an end after its beginning',
      )
    }
    this.machines = fleet.machines.map((machine) => new MachineState(machine, fleet.batching ?? 'mixed'))
    this.stride = fleet.machines.length + 1
    this.bytesPerMs = new Float64Array(this.stride ** 2)
    this.latencyMs = new Float64Array(this.stride ** 2)
    this.freeAtMs = new Float64Array(this.stride ** 2)
    for (const { from, to, bytesPerMs, latencyMs } of fleet.links) {
      const link = this.link(from === 'source' ? atSource : from, to === 'sink' ? atSink : to)
      this.bytesPerMs[link] = bytesPerMs
      this.latencyMs[link] = latencyMs
    }
  }

  run(): ServingResult {
    const { workload, window } = this.given
    if (workload.kind === 'open') {
      for (const arrival of workload.arrivals) this.comes(arrival.atMs, arrival)
    } else {
      this.inWave = workload.refill.by === 'waves'
      const initial = this.inWave ? 1 : workload.initial
      for (let index = 0; index < initial; index += 1) {
        this.comes(index * workload.gapMs, workload.draw())
      }
    }
    const { queue } = this
    for (const [at, { fromMs, toMs }] of (this.given.outages ?? []).entries()) {
      queue.push(fromMs, lost, at)
      if (toMs < Number.POSITIVE_INFINITY) queue.push(toMs, back, at)
    }
    const endMs = workload.kind === 'closed' ? window.toMs : Number.POSITIVE_INFINITY
    while (queue.take()) {
      if (queue.timeMs >= endMs) break
      this.events += 1
      if (queue.kind === arrived) this.arrives(this.flights[queue.subject] ?? null)
      else if (queue.kind === computed) this.batchEnds(queue.subject)
      else if (queue.kind === gathered) this.resumes(queue.subject)
      else if (queue.kind === lost) this.losesMachine(this.given.outages![queue.subject]!.machine)
      else if (queue.kind === back) this.machineComesBack(this.given.outages![queue.subject]!.machine)
      else this.begins(queue.subject)
    }
    return this.result()
  }

  private comes(atMs: number, request: Coming): void {
    const id = this.nextId
    this.nextId += 1
    this.coming.set(id, request)
    this.queue.push(atMs, created, id)
  }

  private begins(id: number): void {
    const request = this.coming.get(id)!
    this.coming.delete(id)
    const nowMs = this.queue.timeMs
    const { promptTokens, outputTokens, sinceMs = nowMs, resumed = false } = request
    const flight: Flight = {
      ...{ id, promptTokens, outputTokens, resumed, gone: false, path: [] },
      ...{ hop: 0, steps: -1, beganMs: sinceMs, sentMs: nowMs },
    }
    const admitted = this.given.router.admit(flight)
    if (admitted) {
      this.flights[id] = flight
      this.send(flight, atSource)
    } else if (this.machinesLost > 0) this.stranded.push({ ...request, sinceMs })
    else this.turnedAway += 1
    this.continueWave(admitted)
  }

  /** Over the link to where the request goes next; a prompt's router is asked, a decode step follows its path. */
  private send(flight: Flight, from: number): void {
    const nowMs = this.queue.timeMs
    const isPrompt = flight.steps < 0
    let to = flight.path[flight.hop] ?? atSink
    if (isPrompt) {
      to = this.given.router.next(flight, from)
      if (to !== atSink) flight.path.push(to)
    }
    const link = this.link(from, to)
    const rate = this.bytesPerMs[link]!
    if (rate === 0) throw new Error(`A router chose the link from ${from} to ${to}, which is not there.`)
    const { tokenBytes, activationBytes } = this.given.fleet
    const perToken = from === atSource || to === atSink ? tokenBytes : tokenBytes + activationBytes
    const free = this.freeAtMs[link]!
    const sentMs = (free > nowMs ? free : nowMs) + ((isPrompt ? flight.promptTokens : 1) * perToken) / rate
    this.freeAtMs[link] = sentMs
    flight.sentMs = nowMs
    this.queue.push(sentMs + this.latencyMs[link]!, arrived, flight.id)
  }

  private arrives(flight: Flight | null): void {
    // On its way when a machine behind it was lost.
    if (flight === null) return
    const to = flight.path[flight.hop]
    if (to === undefined) {
      this.leaves(flight)
      return
    }
    if (this.machines[to]!.isLost) {
      this.restart(flight)
      for (const index of flight.path) if (this.machines[index]!.isIdle) this.compute(index)
      return
    }
    this.machines[to]!.arrive(flight)
    if (this.machines[to]!.isIdle) this.compute(to)
  }

  private compute(index: number): void {
    const machine = this.machines[index]!
    const ms = machine.start()
    if (ms === 0) return
    machine.endsAtMs = this.queue.timeMs + ms
    this.queue.push(machine.endsAtMs, computed, index)
  }

  private losesMachine(index: number): void {
    this.machinesLost += 1
    this.given.router.availabilityChanged?.(index, false)
    this.machines[index]!.lose()
    for (const flight of this.flights) if (flight?.path.includes(index)) this.restart(flight)
    for (const [at, machine] of this.machines.entries()) if (machine.isIdle) this.compute(at)
  }

  private machineComesBack(index: number): void {
    this.machinesLost -= 1
    this.given.router.availabilityChanged?.(index, true)
    this.machines[index]!.isLost = false
    const { stranded } = this
    this.stranded = []
    for (const request of stranded) this.comes(this.queue.timeMs, request)
  }

  /** From its prompt on, to which the tokens that it has belong. */
  private restart(flight: Flight): void {
    const { promptTokens, outputTokens, steps, beganMs, resumed } = flight
    flight.gone = true
    this.flights[flight.id] = null
    this.given.router.finished(flight)
    for (const [at, index] of flight.path.entries()) {
      const machine = this.machines[index]!
      if (!machine.isLost) machine.drop(flight, at)
    }
    this.restarted += 1
    const made = steps + 1
    this.comes(this.queue.timeMs, {
      ...{ promptTokens: promptTokens + made, outputTokens: outputTokens - made },
      ...{ sinceMs: beganMs, resumed: resumed || steps >= 0 },
    })
  }

  private batchEnds(index: number): void {
    const machine = this.machines[index]!
    const { batch } = machine
    // Of a batch that was lost.
    if (batch === null || machine.endsAtMs !== this.queue.timeMs) return
    machine.batch = null
    for (const flight of batch) {
      if (flight.gone) continue
      const from = flight.hop === 0 ? atSource : flight.path[flight.hop - 1]!
      this.given.router.served(from, index, this.queue.timeMs - flight.sentMs)
      flight.hop += 1
      this.send(flight, index)
    }
    const { gatherMs = 0 } = this.given
    if (gatherMs === 0) {
      this.compute(index)
      return
    }
    machine.gathering = true
    this.queue.push(this.queue.timeMs + gatherMs, gathered, index)
  }

  private resumes(index: number): void {
    if (!this.machines[index]!.gathering) return
    this.machines[index]!.gathering = false
    this.compute(index)
  }

  private leaves(flight: Flight): void {
    const nowMs = this.queue.timeMs
    const { fromMs, toMs } = this.given.window
    const counts = nowMs >= fromMs && nowMs < toMs
    const isPrompt = flight.steps < 0
    if (counts) {
      const isFirst = isPrompt && !flight.resumed
      ;(isFirst ? this.promptMs : this.decodeMs).add(nowMs - flight.beganMs)
      if (!isFirst) this.decoded += 1
    }
    flight.steps += 1
    if (flight.steps < flight.outputTokens) {
      if (isPrompt) this.refill(true)
      flight.hop = 0
      flight.beganMs = nowMs
      this.given.router.stepBegins(flight)
      this.send(flight, atSource)
      return
    }
    for (const index of flight.path) {
      const machine = this.machines[index]!
      machine.release(flight)
      if (machine.isIdle) this.compute(index)
    }
    this.given.router.finished(flight)
    this.flights[flight.id] = null
    this.finished += 1
    this.refill(false)
  }

  private refill(afterPrompt: boolean): void {
    const { workload, router } = this.given
    if (workload.kind === 'open') return
    const { refill } = workload
    if (refill.by === 'waves') {
      if (afterPrompt || this.inWave || router.kvUsage() > refill.kvLeast) return
      this.inWave = true
    } else if (refill.by === 'replace' ? afterPrompt : router.kvUsage() > refill.kvMost) return
    this.comes(this.queue.timeMs + workload.gapMs, workload.draw())
  }

  /** After a request of a wave has been let in or turned away. */
  private continueWave(admitted: boolean): void {
    const { workload, router } = this.given
    if (workload.kind === 'open' || workload.refill.by !== 'waves' || !this.inWave) return
    this.inWave = admitted && router.kvUsage() <= workload.refill.kvMost
    if (this.inWave) this.comes(this.queue.timeMs + workload.gapMs, workload.draw())
  }

  private link(from: number, to: number): number {
    const last = this.stride - 1
    return (from === atSource ? last : from) * this.stride + (to === atSink ? last : to)
  }

  private result(): ServingResult {
    const { fromMs, toMs } = this.given.window
    return {
      decodeTokensPerSecond: this.decoded / ((toMs - fromMs) / 1000),
      promptMs: this.promptMs.ascending(),
      decodeMs: this.decodeMs.ascending(),
      finishedRequests: this.finished,
      turnedAway: this.turnedAway + this.stranded.length,
      restarted: this.restarted,
      events: this.events,
      simulatedMs: this.queue.timeMs,
      busy: this.machines.map(({ busyMs }) => busyMs / this.queue.timeMs),
      kvPeak: this.machines.map(({ kvPeak, machine }) => kvPeak / machine.kvTokens),
      kvHeld: this.machines.map(({ kvTokens }) => kvTokens),
    }
  }
}
