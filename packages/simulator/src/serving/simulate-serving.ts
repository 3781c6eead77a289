import { SimulationInputError } from '../errors.ts'
import { EventQueue } from '../events/event-queue.ts'
import { LinkStates } from './link-states.ts'
import { type Flight, MachineState } from './machine-state.ts'
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
  /** Told of every request that has its last token. */
  readonly onRequest?: (request: RequestTimes) => void
}

/** What happened to one request. */
export interface RequestTimes {
  /** From 0, in the order in which requests came. */
  readonly id: number
  readonly promptTokens: number
  readonly outputTokens: number
  readonly cameMs: number
  /** When its prompt had left the last machine, and its last token. */
  readonly promptedMs: number
  readonly endedMs: number
}

const created = 0
const arrived = 1
const computed = 2
const gathered = 3

/** Plays requests through a fleet. The same run gives the same result. */
export function simulateServing(run: ServingRun): ServingResult {
  return new ServingSimulation(run).run()
}

class ServingSimulation {
  private readonly queue = new EventQueue()
  private readonly machines: readonly MachineState[]
  private readonly flights: (Flight | null)[] = []
  private readonly coming = new Map<number, RequestLengths>()
  private readonly links: LinkStates
  private readonly promptMs = new Samples()
  private readonly decodeMs = new Samples()
  private decoded = 0
  private finished = 0
  private turnedAway = 0
  private nextId = 0
  private events = 0
  private inWave = false

  constructor(private readonly given: ServingRun) {
    const { fleet, window } = given
    checkServingFleet(fleet)
    if (!(window.toMs > window.fromMs && window.fromMs >= 0)) {
      throw new SimulationInputError(
        'window',
        `[${window.fromMs}, ${window.toMs})`,
        'an end after its beginning',
      )
    }
    this.machines = fleet.machines.map((machine) => new MachineState(machine, fleet.batching ?? 'mixed'))
    this.links = new LinkStates(fleet)
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
    const endMs = workload.kind === 'closed' ? window.toMs : Number.POSITIVE_INFINITY
    while (queue.take()) {
      if (queue.timeMs >= endMs) break
      this.events += 1
      if (queue.kind === arrived) this.arrives(this.flights[queue.subject]!)
      else if (queue.kind === computed) this.batchEnds(queue.subject)
      else if (queue.kind === gathered) this.resumes(queue.subject)
      else this.begins(queue.subject)
    }
    return this.result()
  }

  private comes(atMs: number, lengths: RequestLengths): void {
    const id = this.nextId
    this.nextId += 1
    this.coming.set(id, lengths)
    this.queue.push(atMs, created, id)
  }

  private begins(id: number): void {
    const { promptTokens, outputTokens } = this.coming.get(id)!
    this.coming.delete(id)
    const nowMs = this.queue.timeMs
    const flight = {
      id,
      promptTokens,
      outputTokens,
      path: [],
      hop: 0,
      steps: -1,
      cameMs: nowMs,
      promptedMs: nowMs,
      beganMs: nowMs,
      sentMs: nowMs,
    }
    const admitted = this.given.router.admit(flight)
    if (admitted) {
      this.flights[id] = flight
      this.send(flight, atSource)
    } else this.turnedAway += 1
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
    const { tokenBytes, activationBytes } = this.given.fleet
    flight.sentMs = nowMs
    const kv = from === atSource || to === atSink ? undefined : this.links.between(from, to).handsOver
    if (kv === undefined) {
      const perToken = from === atSource || to === atSink ? tokenBytes : tokenBytes + activationBytes
      const sizeBytes = (isPrompt ? flight.promptTokens : 1) * perToken
      this.queue.push(this.links.send(from, to, nowMs, sizeBytes), arrived, flight.id)
      return
    }
    const computedInMs = this.machines[from]!.promptMs(flight.promptTokens)
    const sizeBytes = flight.promptTokens * kv.bytesPerToken
    const atMs = this.links.handOver(from, to, nowMs, computedInMs, sizeBytes)
    this.queue.push(atMs, arrived, flight.id)
  }

  private arrives(flight: Flight): void {
    const to = flight.path[flight.hop]
    if (to === undefined) {
      this.leaves(flight)
      return
    }
    if (flight.hop > 0 && flight.steps < 0) this.takeOver(flight)
    this.machines[to]!.arrive(flight)
    if (this.machines[to]!.isIdle) this.compute(to)
  }

  /** A prompt that was handed over is with the machines behind it no longer. */
  private takeOver(flight: Flight): void {
    const { hop, path } = flight
    if (this.links.between(path[hop - 1]!, path[hop]!).handsOver === undefined) return
    for (const index of path.splice(0, hop)) this.release(index, flight)
    flight.hop = 0
  }

  private release(index: number, flight: Flight): void {
    const machine = this.machines[index]!
    machine.release(flight)
    if (machine.isIdle) this.compute(index)
  }

  private compute(index: number): void {
    const ms = this.machines[index]!.start()
    if (ms > 0) this.queue.push(this.queue.timeMs + ms, computed, index)
  }

  private batchEnds(index: number): void {
    const machine = this.machines[index]!
    const batch = machine.batch!
    machine.batch = null
    for (const flight of batch) {
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
    this.machines[index]!.gathering = false
    this.compute(index)
  }

  private leaves(flight: Flight): void {
    const nowMs = this.queue.timeMs
    const { fromMs, toMs } = this.given.window
    const counts = nowMs >= fromMs && nowMs < toMs
    const isPrompt = flight.steps < 0
    if (counts) {
      ;(isPrompt ? this.promptMs : this.decodeMs).add(nowMs - flight.beganMs)
      if (!isPrompt) this.decoded += 1
    }
    if (isPrompt) flight.promptedMs = nowMs
    flight.steps += 1
    if (flight.steps < flight.outputTokens) {
      if (isPrompt) this.refill(true)
      flight.hop = 0
      flight.beganMs = nowMs
      this.given.router.stepBegins(flight)
      this.send(flight, atSource)
      return
    }
    for (const index of flight.path) this.release(index, flight)
    this.given.router.finished(flight)
    const { id, promptTokens, outputTokens, cameMs, promptedMs } = flight
    this.given.onRequest?.({ id, promptTokens, outputTokens, cameMs, promptedMs, endedMs: nowMs })
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

  private result(): ServingResult {
    const { fromMs, toMs } = this.given.window
    return {
      decodeTokensPerSecond: this.decoded / ((toMs - fromMs) / 1000),
      promptMs: this.promptMs.ascending(),
      decodeMs: this.decodeMs.ascending(),
      finishedRequests: this.finished,
      turnedAway: this.turnedAway,
      events: this.events,
      simulatedMs: this.queue.timeMs,
      busy: this.machines.map(({ busyMs }) => busyMs / this.queue.timeMs),
      kvPeak: this.machines.map(({ kvPeak, machine }) => kvPeak / machine.kvTokens),
    }
  }
}
