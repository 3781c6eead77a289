import { defaultSampling, modelId, type SampledToken, workerId } from '@deos/domain'
import {
  type EngineEffect,
  type EngineStepResult,
  type Message,
  plainNeeds,
  RingClient,
  type RingClientEvent,
  type RingEffect,
  type RingEvent,
  RingNode,
} from '@deos/protocol'
import { SimulationInputError } from '../errors.ts'
import { EventQueue } from '../events/event-queue.ts'
import type { RingAnswer, RingLoad, RingResult, RingRun, SimulatedLink } from './ring-run.ts'
import { StepTimes } from './step-times.ts'

const gateway = 'gateway'
const tickMs = 25
/** Beyond this nobody waits for an answer. */
const longestMs = 24 * 3_600_000

const called = 0
const ticked = 1

/**
 * Plays requests through one ring whose decisions are those of the product: its gateway's and its workers' state machines
 * run as they are, in time of their own; engines and links take what they were measured to take. The same run gives the
 * same result.
 *
 * @throws SimulationInputError if something of the run cannot be, or a request is refused
 */
export function simulateRing(run: RingRun): RingResult {
  return new RingSimulation(run).run()
}

interface Engine {
  readonly times: StepTimes
  freeAtMs: number
  busyMs: number
}

class RingSimulation {
  private readonly queue = new EventQueue()
  private readonly calls: (() => void)[] = []
  private readonly freeCalls: number[] = []
  private readonly nodes: readonly RingNode[]
  private readonly engines: readonly Engine[]
  private readonly client = new RingClient({ resumePatienceMs: 60_000 })
  private readonly linkFreeAtMs = new Map<string, number>()
  private load: RingLoad = { requests: [], clients: null }
  /** Of the load that is played; before them, how many requests came in earlier ones. */
  private answers: { sentMs: number; tokensMs: number[] }[] = []
  private before = 0
  private next = 0
  private ended = 0
  private steps = 0
  private events = 0

  constructor(private readonly given: RingRun) {
    const { stages, hiddenSize, leader, requests, earlier = [] } = given
    if (stages.length === 0) throw new SimulationInputError('stages', 'empty', 'one or more')
    for (const [at, load] of earlier.entries()) checkLoad(`earlier[${at}].`, load)
    checkLoad('', { requests, clients: given.clients })
    this.engines = stages.map(({ timing }) => ({ times: new StepTimes(timing), freeAtMs: 0, busyMs: 0 }))
    this.nodes = stages.map(
      (_, stage) =>
        new RingNode(
          {
            worker: workerId(`w${stage}`),
            model: modelId('simulated'),
            ...{ stage, stages: stages.length, hiddenSize },
            layers: { first: stage, end: stage + 1 },
          },
          stage === 0 ? { ...leader, stages: stages.length, vocabSize: null, firstEpoch: 1 } : null,
        ),
    )
  }

  run(): RingResult {
    const { queue } = this
    const { capacity, earlier = [] } = this.given
    for (const stage of this.nodes.keys()) {
      this.feed(stage, { type: 'downstream-connected' })
      this.feed(stage, { type: 'engine-ready', capacity })
    }
    this.feed(0, { type: 'gateway-connected', gateway })
    if (this.nodes.length > 1) this.feed(this.nodes.length - 1, { type: 'gateway-connected', gateway })
    this.tell({ type: 'connected', link: 'leader' })
    this.tell({ type: 'connected', link: 'tail' })
    queue.push(tickMs, ticked, 0)
    while (!this.client.ready) this.advance()
    for (const load of earlier) this.play(load)
    return this.play(this.given)
  }

  /** To its last answer. */
  private play(load: RingLoad): RingResult {
    const { requests, clients } = load
    const { queue, engines } = this
    this.before += this.load.requests.length
    this.load = load
    this.answers = []
    for (const engine of engines) engine.busyMs = 0
    this.next = this.ended = this.steps = this.events = 0
    const startMs = queue.timeMs
    if (clients === null) {
      for (const [index, { atMs }] of requests.entries()) this.after(atMs, () => this.begin(index))
    } else for (let client = 0; client < clients; client += 1) this.beginNext()
    while (this.ended < requests.length) this.advance()
    return {
      answers: this.answers.map(
        ({ sentMs, tokensMs }): RingAnswer => ({
          sentMs: sentMs - startMs,
          tokensMs: tokensMs.map((each) => each - startMs),
        }),
      ),
      busyMs: engines.map(({ busyMs }) => busyMs),
      ...{ steps: this.steps, events: this.events, endMs: queue.timeMs - startMs },
    }
  }

  private advance(): void {
    const { queue } = this
    if (!queue.take()) throw new Error('Nothing happens any more, but requests are open.')
    if (queue.timeMs > longestMs)
      throw new SimulationInputError('requests', 'endless', 'what a day can answer')
    this.events += 1
    if (queue.kind === called) {
      const call = this.calls[queue.subject]!
      this.freeCalls.push(queue.subject)
      call()
      return
    }
    for (const stage of this.nodes.keys()) this.feed(stage, { type: 'tick' })
    this.tell({ type: 'tick' })
    queue.push(queue.timeMs + tickMs, ticked, 0)
  }

  private after(delayMs: number, call: () => void): void {
    const subject = this.freeCalls.pop() ?? this.calls.length
    this.calls[subject] = call
    this.queue.push(this.queue.timeMs + delayMs, called, subject)
  }

  private begin(index: number): void {
    const { promptTokens, outputTokens } = this.load.requests[index]!
    const id = this.before + index
    this.answers[index] = { sentMs: this.queue.timeMs, tokensMs: [] }
    this.tell({
      type: 'open',
      request: {
        id: String(id),
        // Different from the first token on: nothing is found computed.
        tokens: Int32Array.from({ length: promptTokens }, (_, at) => id * 7919 + at),
        ...{ maxTokens: outputTokens, stopTokens: [], sampling: defaultSampling, deadlineMs: 0 },
        ...{ tenant: 't', priority: 0, needs: plainNeeds, pooling: null },
      },
    })
  }

  private tell(event: RingClientEvent): void {
    for (const effect of this.client.onEvent(event, this.queue.timeMs)) {
      switch (effect.type) {
        case 'send-leader': {
          const { message } = effect
          this.send('gateway', this.given.gateway.toLeader, message, () =>
            this.feed(0, { type: 'gateway-message', gateway, message }),
          )
          break
        }
        case 'token':
          this.answers[Number(effect.id) - this.before]!.tokensMs.push(this.queue.timeMs)
          if (effect.finish !== null) this.end()
          break
        case 'rejected':
        case 'failed':
          throw new SimulationInputError(
            `requests[${Number(effect.id) - this.before}]`,
            effect.message,
            'one that the ring takes',
          )
        case 'close-link':
          throw new Error(`The gateway broke off: ${effect.reason}`)
      }
    }
  }

  private end(): void {
    this.ended += 1
    if (this.load.clients !== null) this.beginNext()
  }

  private beginNext(): void {
    if (this.next === this.load.requests.length) return
    this.next += 1
    this.begin(this.next - 1)
  }

  private feed(stage: number, event: RingEvent): void {
    for (const effect of this.nodes[stage]!.onEvent(event, this.queue.timeMs)) this.perform(stage, effect)
  }

  private perform(stage: number, effect: RingEffect): void {
    switch (effect.type) {
      case 'send-downstream': {
        const { message } = effect
        const next = (stage + 1) % this.nodes.length
        this.send(`stage ${stage}`, this.given.stages[stage]!.link, message, () =>
          this.feed(next, { type: 'upstream-message', message }),
        )
        break
      }
      case 'send-gateway': {
        const { message } = effect
        const { toLeader, fromTail } = this.given.gateway
        const way = stage === this.nodes.length - 1 ? fromTail : toLeader
        const link = stage === 0 ? 'leader' : 'tail'
        this.send(`to gateway from ${link}`, way, message, () =>
          this.tell({ type: 'message', link, message }),
        )
        break
      }
      case 'close-gateway':
        throw new Error(`Stage ${stage} cut the gateway off: ${effect.reason}`)
      case 'note':
      case 'drained':
      case 'import-opened':
      case 'import-closed':
        break
      default:
        this.compute(stage, effect)
    }
  }

  /** In order, each message behind the one before. */
  private send(
    name: string,
    { oneWayMs, bytesPerMs }: SimulatedLink,
    message: Message,
    then: () => void,
  ): void {
    const nowMs = this.queue.timeMs
    const bytes = message.type === 'step' ? message.hidden.byteLength : 0
    const freeMs = Math.max(nowMs, this.linkFreeAtMs.get(name) ?? 0)
    const sentMs = bytesPerMs === 0 ? freeMs : freeMs + bytes / bytesPerMs
    this.linkFreeAtMs.set(name, sentMs)
    this.after(sentMs - nowMs + oneWayMs, then)
  }

  private compute(stage: number, effect: EngineEffect): void {
    switch (effect.type) {
      case 'engine-step': {
        const { epoch, step, work } = effect
        const engine = this.engines[stage]!
        const nowMs = this.queue.timeMs
        const computeMs = engine.times.of(work.entries)
        const { hostMs } = engine.times
        const startMs = Math.max(nowMs + hostMs / 2, engine.freeAtMs)
        engine.freeAtMs = startMs + computeMs
        engine.busyMs += computeMs
        this.steps += stage === 0 ? 1 : 0
        const doneMs = engine.freeAtMs + hostMs / 2
        const result = this.resultOf(stage, work.entries, Math.round(computeMs * 1000))
        const waitUs = Math.round((doneMs - nowMs - computeMs) * 1000)
        const linkUs = Math.round(this.given.stages[stage]!.link.oneWayMs * 1000)
        this.after(doneMs - nowMs, () =>
          this.feed(stage, { type: 'engine-stepped', epoch, step, result, waitUs, linkUs }),
        )
        break
      }
      case 'engine-prepare': {
        const { epoch, request } = effect
        this.after(0, () => this.feed(stage, { type: 'engine-prepared', epoch, request, problem: null }))
        break
      }
      case 'engine-reset':
        this.after(0, () => this.feed(stage, { type: 'engine-reset-done' }))
        break
      case 'engine-open':
      case 'engine-close':
        break
    }
  }

  private resultOf(
    stage: number,
    entries: readonly { readonly count: number; readonly sample: boolean }[],
    computeUs: number,
  ): EngineStepResult {
    const isLast = stage === this.nodes.length - 1
    const tokens = entries.reduce((sum, { count }) => sum + count, 0)
    const sampled: SampledToken[] = isLast
      ? entries.filter(({ sample }) => sample).map(() => ({ token: 1, logprobs: null }))
      : []
    const hidden = new Uint8Array(isLast ? 0 : tokens * this.given.hiddenSize * 4)
    return { hidden, sampled, pooled: [], computeUs }
  }
}

function checkLoad(path: string, { requests, clients }: RingLoad): void {
  if (requests.length === 0) throw new SimulationInputError(`${path}requests`, 'empty', 'one or more')
  if (clients !== null && !(clients >= 1)) {
    throw new SimulationInputError(`${path}clients`, clients, 'one or more, or null')
  }
}
