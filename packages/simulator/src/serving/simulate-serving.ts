import { SimulationInputError } from '../errors.ts'
import { EventQueue } from '../events/event-queue.ts'
import { LinkStates } from './link-states.ts'
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
  /** Whether an open workload ends with the window, too. Default false. */
  readonly endsWithWindow?: boolean
  /**
   * How long a machine waits behind a batch for sequences that come straight back, so that they join the next one; 0 if
   * it takes at once what waits. A little is what engines do that step all their sequences together.
   */
  readonly gatherMs?: number
  /**
   * Whether the decode steps of a batch go to the next machine as one message, and an idle machine begins with all that
   * arrives at the same moment. Engines send the hidden states of a batch at once; without this, which is Helix's model,
   * every sequence is a message of its own, and an idle machine begins with the first. Default false.
   */
  readonly stepsTogether?: boolean
  /** Requests that came before the beginning; those for which there is no room are left out. Default none. */
  readonly underWay?: readonly RequestUnderWay[]
  /** Told of every request that has its last token. */
  readonly onRequest?: (request: RequestTimes) => void
  /** When machines are not there; they come back empty. */
  readonly outages?: readonly Outage[]
}

/** A request in the middle of its answer, as K and V in the machines that its router chooses. */
export interface RequestUnderWay extends RequestLengths {
  /** Decode steps that it has had: fewer than its tokens. */
  readonly steps: number
  /** When its next step begins. */
  readonly atMs: number
}

/** What happened to one request. */
export interface RequestTimes {
  /** From 0, in the order in which requests came; those that were under way at the beginning follow the others. */
  readonly id: number
  readonly promptTokens: number
  readonly outputTokens: number
  readonly cameMs: number
  /** When its prompt had left the last machine, and its last token. */
  readonly promptedMs: number
  readonly endedMs: number
}

/** A request that is to begin. */
interface Coming extends RequestLengths {
  /** Of one that begins anew because machines were lost. */
  readonly before?: {
    /** What it was when it came, and when its prompt was done. */
    readonly request: Omit<RequestTimes, 'endedMs'>
    /** Since when its prompt or step is under way. */
    readonly sinceMs: number
    /** It had tokens, which are part of its prompt now. */
    readonly resumed: boolean
  }
}

const created = 0
const arrived = 1
const computed = 2
const gathered = 3
const lost = 4
const back = 5
const arrivedTogether = 6

/** Plays requests through a fleet. The same run gives the same result. */
export function simulateServing(run: ServingRun): ServingResult {
  return new ServingSimulation(run).run()
}

const beginning = (id: number, { promptTokens, outputTokens, before }: Coming, nowMs: number): Flight => ({
  ...{ id, promptTokens, outputTokens, resumed: before?.resumed ?? false, gone: false },
  ...{ path: [], hop: 0, steps: -1, beganMs: before?.sinceMs ?? nowMs, sentMs: nowMs },
  ...{ cameMs: before?.request.cameMs ?? nowMs, promptedMs: before?.request.promptedMs ?? nowMs },
  ...{ counted: 0, countedMs: 0 },
})

interface Leaving {
  readonly flight: Flight
  readonly to: number
  readonly atMs: number
}

class ServingSimulation {
  private readonly queue = new EventQueue()
  private readonly machines: readonly MachineState[]
  private readonly flights: (Flight | null)[] = []
  private readonly coming = new Map<number, Coming>()
  /** They wait for machines to come back. */
  private stranded: Coming[] = []
  /** What requests that began anew were when they came. */
  private readonly before = new Map<number, Omit<RequestTimes, 'endedMs'>>()
  private readonly links: LinkStates
  private readonly promptMs = new Samples()
  private readonly decodeMs = new Samples()
  private readonly meanStepMs = new Samples()
  private finished = 0
  private turnedAway = 0
  private restarted = 0
  private machinesLost = 0
  private nextId = 0
  private events = 0
  private inWave = false
  /** Of the batch that has just ended: steps on their way, with the machine they go to and when they would be there. */
  private leaving: Leaving[] = []
  /** Steps that are on their way together, by the subject of their event. */
  private readonly groups: (readonly Flight[] | null)[] = []
  private readonly freeGroups: number[] = []

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
    for (const request of this.given.underWay ?? []) this.continues(request)
    const { queue } = this
    for (const [at, { fromMs, toMs }] of (this.given.outages ?? []).entries()) {
      queue.push(fromMs, lost, at)
      if (toMs < Number.POSITIVE_INFINITY) queue.push(toMs, back, at)
    }
    const ends = workload.kind === 'closed' || this.given.endsWithWindow === true
    const endMs = ends ? window.toMs : Number.POSITIVE_INFINITY
    while (queue.take()) {
      if (queue.timeMs >= endMs) break
      this.events += 1
      if (queue.kind === arrivedTogether) this.arriveTogether(queue.subject)
      else if (queue.kind === arrived) this.arrivesAlone(this.flights[queue.subject] ?? null)
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

  private continues(request: RequestUnderWay): void {
    const { router } = this.given
    const { steps, atMs } = request
    const id = this.nextId
    this.nextId += 1
    const flight = { ...beginning(id, request, atMs), cameMs: 0, promptedMs: 0 }
    if (!router.admit(flight)) return
    let from: number = atSource
    for (let to = router.next(flight, from); to !== atSink; to = router.next(flight, from)) {
      const handedOver = from !== atSource && this.links.between(from, to).handsOver !== undefined
      if (handedOver) flight.path.length = 0
      flight.path.push(to)
      from = to
    }
    flight.steps = steps
    if (!flight.path.every((index) => this.machines[index]!.hasRoomFor(flight))) {
      router.finished(flight)
      return
    }
    for (const index of flight.path) this.machines[index]!.takeUp(flight)
    this.flights[id] = flight
    router.stepBegins(flight)
    this.queue.push(atMs, arrived, id)
  }

  private begins(id: number): void {
    const coming = this.coming.get(id)!
    this.coming.delete(id)
    const nowMs = this.queue.timeMs
    const { promptTokens, outputTokens, before } = coming
    const flight = beginning(id, coming, nowMs)
    const admitted = this.given.router.admit(flight)
    if (admitted) {
      this.flights[id] = flight
      if (before !== undefined) this.before.set(id, before.request)
      this.send(flight, atSource)
    } else if (this.machinesLost > 0) {
      const request = { id, promptTokens, outputTokens, cameMs: nowMs, promptedMs: nowMs }
      this.stranded.push({ ...coming, before: before ?? { request, sinceMs: nowMs, resumed: false } })
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
      const atMs = this.links.send(from, to, nowMs, sizeBytes)
      if (this.given.stepsTogether === true && !isPrompt) this.leaving.push({ flight, to, atMs })
      else this.queue.push(atMs, arrived, flight.id)
      return
    }
    const computedInMs = this.machines[from]!.promptMs(flight.promptTokens)
    const atMs = this.links.handOver(from, to, nowMs, computedInMs, flight.promptTokens)
    this.queue.push(atMs, arrived, flight.id)
  }

  /** Steps that go the same way arrive with the last of them, in one event. */
  private sendTogether(): void {
    let left = this.leaving
    if (left.length === 0) return
    this.leaving = []
    while (left.length > 0) {
      const { to } = left[0]!
      let lastMs = 0
      const flights: Flight[] = []
      const others: Leaving[] = []
      for (const each of left) {
        if (each.to !== to) {
          others.push(each)
          continue
        }
        flights.push(each.flight)
        if (each.atMs > lastMs) lastMs = each.atMs
      }
      const group = this.freeGroups.pop() ?? this.groups.length
      this.groups[group] = flights
      this.queue.push(lastMs, arrivedTogether, group)
      left = others
    }
  }

  private arriveTogether(group: number): void {
    const flights = this.groups[group]!
    this.groups[group] = null
    this.freeGroups.push(group)
    this.events += flights.length - 1
    for (const flight of flights) if (!flight.gone) this.arrives(flight)
    this.sendTogether()
  }

  private arrivesAlone(flight: Flight | null): void {
    // On its way when a machine behind it was lost.
    if (flight === null) return
    this.arrives(flight)
    this.sendTogether()
  }

  private arrives(flight: Flight): void {
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
    if (flight.hop > 0 && flight.steps < 0) this.takeOver(flight)
    this.machines[to]!.arrive(flight)
    if (!this.machines[to]!.isIdle) return
    if (this.given.stepsTogether === true) this.gather(to)
    else this.compute(to)
  }

  /** Waits a little before it begins. */
  private gather(index: number): void {
    this.machines[index]!.gathering = true
    this.queue.push(this.queue.timeMs + (this.given.gatherMs ?? 0), gathered, index)
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
    const { id, promptTokens, outputTokens, steps, beganMs, resumed, cameMs, promptedMs } = flight
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
      before: {
        request: { ...(this.before.get(id) ?? { id, promptTokens, outputTokens, cameMs }), promptedMs },
        sinceMs: beganMs,
        resumed: resumed || steps >= 0,
      },
    })
    this.before.delete(id)
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
    this.sendTogether()
    const { gatherMs = 0, stepsTogether = false } = this.given
    if (gatherMs > 0 || stepsTogether) this.gather(index)
    else this.compute(index)
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
      const tookMs = nowMs - flight.beganMs
      if (isFirst) this.promptMs.add(tookMs)
      else {
        this.decodeMs.add(tookMs)
        flight.counted += 1
        flight.countedMs += tookMs
      }
    }
    if (isPrompt && !flight.resumed) flight.promptedMs = nowMs
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
    this.countSteps(flight)
    const { id, promptTokens, outputTokens, cameMs, promptedMs } = flight
    const request = this.before.get(id) ?? { id, promptTokens, outputTokens }
    this.before.delete(id)
    this.given.onRequest?.({ ...request, cameMs, promptedMs, endedMs: nowMs })
    this.flights[flight.id] = null
    this.finished += 1
    this.refill(false)
  }

  private countSteps({ counted, countedMs }: Flight): void {
    if (counted > 0) this.meanStepMs.add(countedMs / counted)
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
    for (const flight of this.flights) if (flight) this.countSteps(flight)
    const decodeMs = this.decodeMs.ascending()
    return {
      decodeTokensPerSecond: decodeMs.length / ((toMs - fromMs) / 1000),
      promptMs: this.promptMs.ascending(),
      decodeMs,
      meanStepMs: this.meanStepMs.ascending(),
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
