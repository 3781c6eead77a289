import { availableParallelism } from 'node:os'
import { UsageError } from '../cli-error.ts'
import type { Interrupts } from '../interrupts.ts'
import type { Output, ProgressLine } from '../output.ts'
import { homeFolder } from '../package-root.ts'
import { LocalRing, type LocalRingObserver } from '../ring/local-ring.ts'
import { readPlanFile } from '../ring/plan-file.ts'
import { type RingPlan, together } from '../ring/ring-plan.ts'
import type { WorkerPhase } from '../ring/ring-supervision.ts'
import type { ServedPlan } from '../ring/served-plan.ts'
import { evenProfiles, mixedProfiles, takeProfiles } from '../ring/worker-profiles.ts'
import { formatMilliseconds } from '../text/quantities.ts'
import { invocation } from './invocation.ts'
import { type LocalPlan, type LocalPlanRequest, planLocalRing } from './local-plan.ts'
import { formatIncident, formatProgress, formatReady, type ReadyFacts, readyJson } from './serve-report.ts'

export interface ServeOptions
  extends Omit<LocalPlanRequest, 'modelPath' | 'profiles' | 'planned' | 'replica'> {
  readonly model: string
  readonly workers: number
  /** File with the stages, in place of `workers`. */
  readonly plan: string | null
  /** Which one of the plan's alone; `null` takes all. */
  readonly replica: number | null
  /** All workers alike and at full speed. */
  readonly even: boolean
  readonly host: string
  readonly port: number
  readonly apiKey: string | null
}

/** Tells about workers: a moving line and then incidents, or JSON lines. */
class ServeReporter implements LocalRingObserver {
  readonly #phases: WorkerPhase[]
  readonly #progress: ProgressLine
  #up = false

  constructor(
    private readonly plan: RingPlan,
    private readonly output: Output,
  ) {
    this.#phases = plan.assignments.map(() => ({ phase: 'starting' }))
    this.#progress = output.progress()
    this.#draw()
  }

  onPhase(stage: number, phase: WorkerPhase): void {
    const { worker, layers } = this.plan.assignments[stage]!
    this.#phases[stage] = phase
    this.output.event({ event: 'worker', worker, stage, layers, ...phase })
    if (phase.phase === 'restarting' || phase.phase === 'engine-lost' || this.#up) {
      const line = formatIncident(worker, phase)
      if (line !== null) this.#progress.log(line)
    }
    const quiet = this.output.json || this.output.interactive || this.#up
    if (!quiet && phase.phase === 'ready') this.output.note(`Worker ${worker} is ready.`)
    this.#draw()
  }

  onGatewayRestart(reason: string, delayMs: number): void {
    this.output.event({ event: 'gateway-restart', reason, delayMs })
    this.#progress.log(`The gateway died (${reason}); it is started again in ${formatMilliseconds(delayMs)}.`)
  }

  up(): void {
    this.#up = true
    this.#progress.end()
  }

  stopping(): void {
    this.#up = false
    this.output.event({ event: 'stopping' })
    this.#progress.show('Finishing accepted requests; Ctrl-C again stops at once')
  }

  end(): void {
    this.#progress.end()
  }

  #draw(): void {
    if (!this.#up) this.#progress.show(formatProgress(this.plan, this.#phases))
  }
}

/**
 * Serves a model over workers of this machine until it is interrupted.
 *
 * @throws whatever keeps the model from being served; nothing is left running then
 */
export async function serve(options: ServeOptions, output: Output, interrupts: Interrupts): Promise<void> {
  const began = performance.now()
  const { plans, description, instruct } = await planRings(options)
  const plan = together(plans)
  warnAboutThreads(plan.assignments.length, options.threads, output)
  const reporter = new ServeReporter(plan, output)
  try {
    const { host, port, apiKey } = options
    const ring = await LocalRing.start(
      { plans, host, port, apiKey, home: homeFolder() },
      reporter,
      interrupts.signal,
    )
    reporter.up()
    const facts: ReadyFacts = {
      url: ring.url,
      startedMs: performance.now() - began,
      plan,
      description,
      pids: ring.workerPids,
      instruct,
      apiKeyRequired: apiKey !== null,
      runFolder: ring.runFolder,
    }
    output.result(readyJson(facts, ring.gatewayPid), () => formatReady(facts, invocation()))
    try {
      await Promise.race([interrupts.happened, ring.lost])
    } finally {
      reporter.stopping()
      await ring.stop()
    }
    output.event({ event: 'stopped' })
    output.note('Stopped.')
  } finally {
    reporter.end()
  }
}

interface PlannedRings extends Omit<LocalPlan, 'plan'> {
  readonly plans: readonly RingPlan[]
}

/** One ring, or one for each replica of a plan. */
async function planRings(options: ServeOptions): Promise<PlannedRings> {
  const { replica: _, ...others } = options
  const rings: readonly (ServedPlan | null)[] = (await plannedRings(options)) ?? [null]
  const local: LocalPlan[] = []
  for (const [index, planned] of rings.entries()) {
    const count = planned?.stages.length ?? options.workers
    const table = options.even || planned ? evenProfiles : mixedProfiles
    const ring = await planLocalRing({
      ...others,
      modelPath: options.model,
      planned,
      profiles: takeProfiles(count === 1 ? evenProfiles : table, count),
      ...(rings.length === 1 ? {} : { replica: { index, of: rings.length } }),
    })
    local.push(ring)
  }
  const { description, instruct } = local[0]!
  return { plans: local.map(({ plan }) => plan), description, instruct }
}

async function plannedRings({ plan, replica }: ServeOptions): Promise<readonly ServedPlan[] | null> {
  if (plan !== null) return readPlanFile(plan, replica)
  if (replica === null) return null
  throw new UsageError('--replica chooses one of a plan.', 'Give --plan too, or leave out --replica.')
}

function warnAboutThreads(workers: number, threads: number, output: Output): void {
  const cores = availableParallelism()
  if (threads > 1 && workers * threads > cores) {
    output.note(
      `${workers} workers of ${threads} threads share ${cores} cores: waiting threads spin and slow all of them. ` +
        'Leave --threads at 1.',
    )
  }
}
