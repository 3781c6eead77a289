import { randomUUID } from 'node:crypto'
import { describeError, type Random } from '@deos/domain'
import type { ApiClient } from '@deos/sdk'
import type { Logger } from '@deos/service'
import type { HttpProxy } from '@deos/transport'
import { judge, type Verdict } from '../agent-error.ts'
import type { AgentEvent } from '../agent-event.ts'
import type { Hardware } from '../hardware/hardware.ts'
import type { Inventory } from '../hardware/hardware-job.ts'
import type { MachineLoadMeter } from '../hardware/machine-load.ts'
import type { LogShipper } from '../logs/log-shipper.ts'
import { Alarm, Backoff, pause } from '../pause.ts'
import { measureLink } from '../peers/link-probe.ts'
import type { StageKeeper } from '../stages/stage-keeper.ts'
import type { Membership, MissingReport } from './joiner.ts'

type Heartbeat = Parameters<ApiClient['worker']['heartbeat']>[0]['body']
type HeartbeatAnswer = Awaited<ReturnType<ApiClient['worker']['heartbeat']>>
type Assignments = Awaited<ReturnType<ApiClient['worker']['assignments']>>
type MeasuredLinks = Parameters<ApiClient['worker']['links']>[0]['body']['links']

export interface SessionTiming {
  readonly longestBackoffMs: number
  readonly linksEveryMs: number
  readonly firstLinksMs: number
  readonly logsEveryMs: number
  /** Between attempts to measure a machine that could not be measured. */
  readonly measureAgainMs: number
}

export const defaultTiming: SessionTiming = {
  longestBackoffMs: 5_000,
  linksEveryMs: 60_000,
  firstLinksMs: 2_000,
  logsEveryMs: 2_000,
  measureAgainMs: 30_000,
}

export interface SessionParts {
  readonly keeper: StageKeeper
  readonly hardware: Pick<Hardware, 'benchmark'>
  readonly inventory: Inventory
  readonly load: MachineLoadMeter
  readonly shipper: LogShipper
  readonly logger: Logger
  readonly random: Random
  readonly timing: SessionTiming
  readonly tell: (event: AgentEvent) => void
  /** Through which other machines are dialled. */
  readonly proxy: HttpProxy | null
}

/** How it ended; null if it was aborted. */
export type SessionEnd = Exclude<Verdict, { next: 'retry' }> | null

const REPORT_MS = 15_000
const LEAVE_MS = 3_000
const LEAST_HEARTBEAT_WAIT_MS = 2_000

/** One membership from its join until it is no longer good: heartbeats, reports, assignments, links and logs. */
export class Session {
  readonly #ended = new AbortController()
  readonly #signal: AbortSignal
  readonly #alarm = new Alarm()
  #end: SessionEnd = null
  #sequence = 0
  /** Of the assignments seen last; -1 before there were any. */
  #seen = -1
  #refreshing = false
  #reporting = false
  #reachable = true
  #leaving = false
  #released: () => void = () => undefined
  /** Heartbeats and reports go one after another. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(
    readonly membership: Membership,
    private readonly parts: SessionParts,
    outer: AbortSignal,
  ) {
    this.#signal = AbortSignal.any([outer, this.#ended.signal])
  }

  /** Resolves when the membership is not good any more, or the signal aborts. */
  async run(): Promise<SessionEnd> {
    this.#provide(this.membership.missingReport)
    await Promise.all([this.#beat(), this.#follow(), this.#measureLinks(), this.#shipLogs()])
    return this.#end
  }

  /** Something of a stage changed that others wait for. */
  stagesChanged(): void {
    this.#alarm.ring()
  }

  /** Asks to be drained. Resolves when nothing depends on this machine any more, or the session is over. */
  leave(): Promise<void> {
    this.#leaving = true
    return new Promise((resolve) => {
      this.#released = resolve
      if (this.#signal.aborted) resolve()
      this.#signal.addEventListener('abort', () => resolve(), { once: true })
      this.#alarm.ring()
    })
  }

  /** Says goodbye with the last lines; whether anybody hears it does not matter. */
  async goodbye(): Promise<void> {
    const { client, incarnation } = this.membership
    const limit = AbortSignal.timeout(LEAVE_MS)
    try {
      await this.#sendLogs(limit)
      await this.#inTurn(() =>
        client.worker.leave({ body: { incarnation, reason: 'its process was stopped' }, signal: limit }),
      )
    } catch (error) {
      this.parts.logger.debug({ reason: describeError(error) }, 'Nobody heard the goodbye.')
    }
  }

  async #beat(): Promise<void> {
    const { client } = this.membership
    let { heartbeatMs } = this.membership
    const backoff = new Backoff(heartbeatMs, this.parts.timing.longestBackoffMs, this.parts.random)
    while (!this.#signal.aborted) {
      try {
        const limitMs = Math.max(LEAST_HEARTBEAT_WAIT_MS, 3 * heartbeatMs)
        const answer = await this.#inTurn(() =>
          this.#call(limitMs, (signal) => client.worker.heartbeat({ body: this.#heartbeat(), signal })),
        )
        backoff.succeeded()
        this.#heard(answer)
        heartbeatMs = answer.lease.heartbeatMs
        await this.#alarm.wait(heartbeatMs, this.#signal)
      } catch (error) {
        if (this.#signal.aborted) return
        const delayMs = backoff.failed()
        this.#unheard(error, delayMs)
        await pause(delayMs, this.#signal)
      }
    }
  }

  #heartbeat(): Heartbeat {
    const { keeper, load, inventory } = this.parts
    this.#sequence += 1
    const promised = (device: string) =>
      keeper.assigned
        .filter((assignment) => assignment.device === device)
        .reduce((sum, { weightBytes, kvBytes }) => sum + weightBytes + kvBytes, 0)
    return {
      incarnation: this.membership.incarnation,
      sequence: this.#sequence,
      assignmentsVersion: Math.max(0, this.#seen),
      load: {
        ...load.read(keeper.pids),
        devices: inventory.devices.map(({ name, memoryBytes }) => ({
          ...{ device: name, promisedBytes: promised(name), memoryBytes },
        })),
      },
      stages: [...keeper.reports()],
      leaving: this.#leaving,
    }
  }

  #heard({ assignmentsVersion, missingReport, released }: HeartbeatAnswer): void {
    if (!this.#reachable) {
      this.#reachable = true
      this.parts.logger.info('The control plane answers again.')
      this.parts.tell({ event: 'reachable' })
    }
    if (assignmentsVersion > this.#seen) void this.#refresh()
    this.#provide(missingReport)
    if (released && this.#leaving) this.#released()
  }

  #unheard(error: unknown, delayMs: number): void {
    const message = describeError(error)
    this.parts.tell({ event: 'unreachable', message, delayMs })
    if (!this.#reachable) return
    this.#reachable = false
    this.parts.logger.warn({ delayMs }, `The control plane does not answer; stages go on. ${message}`)
  }

  /** The stream usually is first. */
  async #refresh(): Promise<void> {
    if (this.#refreshing) return
    this.#refreshing = true
    try {
      const { client } = this.membership
      this.#see(await this.#call(REPORT_MS, (signal) => client.worker.assignments({ signal })))
    } catch (error) {
      this.parts.logger.debug({ reason: describeError(error) }, 'Assignments could not be fetched.')
    } finally {
      this.#refreshing = false
    }
  }

  async #follow(): Promise<void> {
    const { client } = this.membership
    const { timing, random, logger } = this.parts
    const backoff = new Backoff(250, timing.longestBackoffMs, random)
    const signal = this.#signal
    while (!signal.aborted) {
      try {
        for await (const { data } of client.worker.followAssignments({ signal })) {
          backoff.succeeded()
          this.#see(data)
        }
      } catch (error) {
        if (signal.aborted) return
        this.#judge(error)
        logger.debug({ reason: describeError(error) }, 'The stream of assignments broke off.')
      }
      // A broken stream looks like a lost machine.
      this.#alarm.ring()
      await pause(backoff.failed(), signal)
    }
  }

  #see({ version, assignments }: Assignments): void {
    if (version <= this.#seen || this.#signal.aborted) return
    this.#seen = version
    const { keeper, shipper } = this.parts
    shipper.hide([
      this.membership.credential,
      Buffer.from(this.membership.peerSecret).toString('hex'),
      ...assignments.flatMap(({ ringSecret, sources }) => [
        ringSecret,
        ...sources.map(({ ticketKey }) => ticketKey),
      ]),
    ])
    keeper.apply(assignments)
    this.#alarm.ring()
  }

  /** One report at a time; what is missing then is asked for by the next heartbeat. */
  #provide(missing: MissingReport | null): void {
    if (missing === null || this.#reporting) return
    this.#reporting = true
    void this.#report(missing).then(
      () => {
        this.#reporting = false
        this.#alarm.ring()
      },
      async (error: unknown) => {
        if (this.#signal.aborted) return
        this.parts.logger.error(`The ${missing} could not be reported. ${describeError(error)}`)
        await pause(this.parts.timing.measureAgainMs, this.#signal)
        this.#reporting = false
      },
    )
  }

  async #report(missing: MissingReport): Promise<void> {
    const { client, incarnation } = this.membership
    const { hardware, inventory, tell, logger } = this.parts
    if (missing === 'inventory') {
      await this.#inTurn(() =>
        this.#call(REPORT_MS, (signal) =>
          client.worker.inventory({ body: { incarnation, inventory }, signal }),
        ),
      )
      return
    }
    tell({ event: 'benchmarking' })
    const benchmark = await hardware.benchmark(inventory)
    logger.info({ benchmark }, 'The machine is measured.')
    tell({ event: 'benchmarked', benchmark })
    await this.#inTurn(() =>
      this.#call(REPORT_MS, (signal) =>
        client.worker.benchmark({ body: { incarnation, benchmark }, signal }),
      ),
    )
  }

  async #measureLinks(): Promise<void> {
    const { timing, random, logger } = this.parts
    const spread = (ms: number) => ms * (0.75 + random.next() / 2)
    await pause(spread(timing.firstLinksMs), this.#signal)
    while (!this.#signal.aborted) {
      try {
        // Not beside a benchmark, which both would falsify.
        if (!this.#reporting) await this.#reportLinks()
      } catch (error) {
        if (this.#signal.aborted) return
        logger.debug({ reason: describeError(error) }, 'Links could not be reported.')
      }
      await pause(spread(this.#reporting ? timing.firstLinksMs : timing.linksEveryMs), this.#signal)
    }
  }

  async #reportLinks(): Promise<void> {
    const { client, incarnation } = this.membership
    const { proxy } = this.parts
    const { peers } = await this.#call(REPORT_MS, (signal) => client.worker.peers({ signal }))
    const links: MeasuredLinks[number][] = []
    for (const { machineId, linkAddress: address, ticket, ticketKey } of peers) {
      try {
        const link = await measureLink({ address, ticket, ticketKey, proxy }, this.#signal)
        links.push({ to: machineId, ...link })
      } catch (error) {
        if (this.#signal.aborted) return
        this.parts.logger.debug({ reason: describeError(error), machineId }, 'A link could not be measured.')
      }
    }
    if (links.length === 0) return
    await this.#call(REPORT_MS, (signal) => client.worker.links({ body: { incarnation, links }, signal }))
  }

  async #shipLogs(): Promise<void> {
    while (!this.#signal.aborted) {
      await pause(this.parts.timing.logsEveryMs, this.#signal)
      try {
        await this.#call(REPORT_MS, (signal) => this.#sendLogs(signal))
      } catch (error) {
        this.parts.logger.debug({ reason: describeError(error) }, 'Log lines could not be sent.')
      }
    }
  }

  async #sendLogs(signal: AbortSignal): Promise<void> {
    const { shipper } = this.parts
    if (shipper.isEmpty || signal.aborted) return
    const lines = shipper.next()
    const { client, incarnation } = this.membership
    await client.worker.logs({
      body: { incarnation, lines: [...lines] },
      idempotencyKey: randomUUID(),
      signal,
    })
    shipper.sent(lines)
  }

  /** @throws what the call throws; if that is the end of this membership, the session ends too */
  async #call<T>(limitMs: number, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    try {
      return await call(AbortSignal.any([this.#signal, AbortSignal.timeout(limitMs)]))
    } catch (error) {
      this.#judge(error)
      throw error
    }
  }

  #judge(error: unknown): void {
    if (this.#signal.aborted) return
    const verdict = judge(error)
    if (verdict.next === 'retry') return
    this.#end = verdict
    this.#ended.abort(error)
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => undefined)
    return done
  }
}
