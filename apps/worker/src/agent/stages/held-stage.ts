import { DomainError, describeError, type Random } from '@deos/domain'
import type { ApiClient } from '@deos/sdk'
import { loadCalibration } from '../../kv-transfer/index.ts'
import type { LogLine } from '../logs/log-shipper.ts'
import { readStageLogLine } from '../logs/stage-log-line.ts'
import { Backoff, pause } from '../pause.ts'
import type { FetchedModel, ModelStore } from './model-store.ts'
import { type StageAssignment, type StageSettings, workerAssignment } from './stage-assignment.ts'
import {
  type StagePhase,
  StageProcess,
  type StageProcessOptions,
  type StageProcessParts,
} from './stage-process.ts'

export type StageReport = Parameters<ApiClient['worker']['heartbeat']>[0]['body']['stages'][number]

export interface HeldStageOptions extends Pick<StageProcessOptions, 'script' | 'limits' | 'logFile'> {
  readonly settings: StageSettings
}

export interface HeldStageParts extends StageProcessParts {
  readonly models: Pick<ModelStore, 'fetch'>
  readonly random: Random
  /** As neighbours reach what listens at an address here; null if they do not. */
  readonly advertised: (address: string) => string | null
  /** The report is worth sending at once. */
  readonly onChange: () => void
  readonly log: (line: Omit<LogLine, 'at'>) => void
}

const FETCH_FIRST_DELAY_MS = 500
const FETCH_LONGEST_DELAY_MS = 15_000
/** Of the way from nothing to a loaded stage, fetching is the first half and loading the second. */
const FETCHED = 0.5
/** Progress by less is told with the next heartbeat. */
const TOLD_STEP = 0.05
const LONGEST_PROBLEM = 2000

/** A stage this machine was told to hold: its bytes, its process, and what is said of them. */
export class HeldStage {
  #assignment: StageAssignment
  readonly #ended = new AbortController()
  #process: StageProcess | null = null
  #state: StageReport['state'] = 'loading'
  #fraction = 0
  #toldFraction = 0
  #address: string | null = null
  #problem: string | null = null
  readonly #running: Promise<void>

  constructor(
    assignment: StageAssignment,
    private readonly options: HeldStageOptions,
    private readonly parts: HeldStageParts,
  ) {
    this.#assignment = assignment
    this.#running = this.#run().catch((error: unknown) => {
      this.#trouble(describeError(error))
      this.#enter('failed')
    })
  }

  get assignment(): StageAssignment {
    return this.#assignment
  }

  get pids(): readonly number[] {
    return this.#process?.pids ?? []
  }

  /** @param assignment - of the same stage and generation: what may change is where the neighbours are, and what is wanted */
  update(assignment: StageAssignment): void {
    this.#assignment = assignment
    this.#link()
  }

  /** Ends it at once. Resolves when its process is gone. */
  async stop(): Promise<void> {
    this.#ended.abort(new Error('The stage is not wanted any more.'))
    await this.#running
    await this.#process?.stop()
    this.#log('info', 'The stage is let go.')
  }

  report(): StageReport {
    const { stageId, generation } = this.#assignment
    const { activeSessions, kvUsedTokens, busyFraction, generatedTokens, nextRoundTripMs, nextPath } =
      this.#process?.load ?? nothing
    return {
      ...{ stageId, generation, state: this.#state, loadedFraction: this.#fraction },
      linkAddress: this.#address === null ? null : this.parts.advertised(this.#address),
      problem: this.#problem,
      ...{ activeSessions, kvUsedTokens, busyFraction, generatedTokens, nextRoundTripMs, nextPath },
    }
  }

  async #run(): Promise<void> {
    const fetched = await this.#fetch()
    const model = fetched && (await this.#readable(fetched))
    if (model === null || this.#ended.signal.aborted) return
    const { script, limits, logFile, settings } = this.options
    this.#process = new StageProcess(
      {
        ...{ script, limits, logFile },
        assignment: workerAssignment(this.#assignment, model, settings),
        ringSecret: this.#assignment.ringSecret,
        listenHost: settings.listenHost,
      },
      {
        onPhase: (phase) => this.#entered(phase),
        onAddress: (address) => {
          this.#address = address
          this.parts.onChange()
        },
        onLogLine: (line) => {
          const told = readStageLogLine(line)
          if (told !== null) this.#log(told.level, told.message)
        },
      },
      this.parts,
    )
    this.#process.start()
    this.#link()
  }

  /** Without a calibration that this version cannot read: KV is handed over exactly then. */
  async #readable(model: FetchedModel): Promise<FetchedModel> {
    if (model.calibration === null) return model
    try {
      await loadCalibration(model.calibration, this.#assignment.model.fingerprint)
      return model
    } catch (error) {
      this.#log('warn', `KV is handed over without a calibration: ${describeError(error)}`)
      return { ...model, calibration: null }
    }
  }

  /** Null when it is not wanted any more, or cannot be had. */
  async #fetch(): Promise<FetchedModel | null> {
    const { signal } = this.#ended
    const { stageId: _, model, layers, position, stages } = this.#assignment
    this.#log(
      'info',
      `Stage ${position + 1} of ${stages}, layers ${layers.first} to ${layers.end - 1} of ${model.name}, is fetched.`,
    )
    const backoff = new Backoff(FETCH_FIRST_DELAY_MS, FETCH_LONGEST_DELAY_MS, this.parts.random)
    while (!signal.aborted) {
      try {
        const fetched = await this.parts.models.fetch(
          this.#assignment,
          (fraction) => {
            if (FETCHED * fraction > this.#fraction) backoff.succeeded()
            this.#progress(FETCHED * fraction)
          },
          signal,
        )
        this.#problem = null
        return fetched
      } catch (error) {
        if (signal.aborted) return null
        const final = error instanceof DomainError && !error.retriable
        this.#trouble(describeError(error))
        if (final) {
          this.#enter('failed')
          return null
        }
        await pause(backoff.failed(), signal)
      }
    }
    return null
  }

  #entered(phase: StagePhase): void {
    switch (phase.phase) {
      case 'starting':
        this.#fraction = Math.max(FETCHED, this.#fraction)
        this.#enter('loading')
        break
      case 'loading':
        this.#progress(FETCHED + (1 - FETCHED) * phase.fraction)
        break
      case 'ready':
        this.#fraction = 1
        this.#problem = null
        this.#log('info', `The stage is loaded on ${phase.device}.`)
        this.#enter('loaded')
        break
      case 'engine-lost':
        this.#fallBack(phase.reason)
        break
      case 'restarting':
        this.#fallBack(phase.reason)
        this.#log('warn', `The process of the stage died (${phase.reason}); again in ${phase.delayMs} ms.`)
        break
      case 'failed':
        this.#trouble(phase.reason)
        this.#enter('failed')
    }
  }

  #fallBack(reason: string): void {
    this.#fraction = FETCHED
    this.#toldFraction = FETCHED
    this.#problem = plain(reason).slice(0, LONGEST_PROBLEM)
    this.#enter('loading')
  }

  #trouble(problem: string): void {
    this.#problem = plain(problem).slice(0, LONGEST_PROBLEM)
    this.#log('error', this.#problem)
    this.parts.onChange()
  }

  #enter(state: StageReport['state']): void {
    this.#state = state
    this.parts.onChange()
  }

  #progress(fraction: number): void {
    this.#fraction = fraction
    if (Math.abs(fraction - this.#toldFraction) < TOLD_STEP) return
    this.#toldFraction = fraction
    this.parts.onChange()
  }

  #link(): void {
    const { stages, next } = this.#assignment
    if (stages > 1 && next.linkAddress !== null) this.#process?.link(next.linkAddress)
  }

  #log(level: LogLine['level'], message: string): void {
    this.parts.log({ level, stageId: this.#assignment.stageId, message })
  }
}

const nothing = {
  activeSessions: 0,
  kvUsedTokens: 0,
  busyFraction: 0,
  generatedTokens: 0,
  nextRoundTripMs: null,
  nextPath: null,
}

/** Without what the API does not take. */
const plain = (text: string): string => text.replace(/[^\P{Cc}\n\t]|\p{Cs}/gu, ' ')
