/** What a step consisted of and how long it took. */
export interface StepTiming {
  /** Sessions that decoded in it. */
  readonly decodes: number
  readonly promptTokens: number
  /** Mean position of the prompt tokens. */
  readonly position: number
  /** Time the engines of all stages spent on it. */
  readonly engineUs: number
}

/** What a budget is asked for. */
export interface PromptAhead {
  /** Sessions that decode in the step. */
  readonly decodes: number
  /** Of the prompt's first token in the step. */
  readonly position: number
  /** What there is to compute of the whole prompt. */
  readonly promptTokens: number
  /** Prompts that wait for this one. */
  readonly behind: number
}

/** How much longer than a step without prompt tokens one with them may take, with room for noise below twice. */
const LONGEST_RATIO = 1.7
/** The same for short prompts: those that take no longer than so many steps without prompt tokens, or than that. */
const SHORT_RATIO = 3
const SHORT_STEPS = 16
const SHORT_US = 500_000
/** Beside short prompts, a token in this time is often enough: some 15 words a second. */
const SMOOTH_US = 50_000
/** Engines compute rows of a step in groups of so many; one row more costs as much as a group. */
const ROW_GROUP = 4
/** Prompt tokens in a step while too little is measured. */
const FIRST_BUDGET = 32
/** Shorter chunks tell little of what a token costs, unless chunks are that short. */
const TELLING_TOKENS = 8
/** Measurements that a median is taken of, and how many it takes to believe it. */
const WINDOW = 9
const ENOUGH = 3
/** Steps with prompt tokens after which one goes without, to see how long that takes now. */
const MEASURE_EVERY = 16
/** A step without prompt tokens that is further off than this may mean that the engine has changed. */
const SURPRISE = 0.25

/** The median of the newest values: one outlier does not move it, a lasting change does after half a window. */
class RecentMedian {
  readonly #values: number[] = []
  #oldest = 0
  #median: number | null = null

  add(value: number): void {
    if (this.#values.length < WINDOW) this.#values.push(value)
    else {
      this.#values[this.#oldest] = value
      this.#oldest = (this.#oldest + 1) % WINDOW
    }
    this.#median = null
  }

  get settled(): boolean {
    return this.#values.length >= ENOUGH
  }

  get value(): number {
    this.#median ??= [...this.#values].sort((a, b) => a - b)[this.#values.length >> 1]!
    return this.#median
  }
}

interface Base {
  readonly decodes: number
  readonly time: RecentMedian
  /** Steps with prompt tokens since the last one without. */
  unmeasured: number
  /** The newest measurements, as far as they were all far off, and to the same side. */
  surprises: number[]
}

/**
 * Chooses how many prompt tokens go into a step beside decoding sessions, so that those hardly notice. Short
 * prompts are through so soon that they may go faster. Prompts that wait behind the first are sessions too: a step may
 * take as long as if these decoded already.
 *
 * Learns the time of a step without prompt tokens for each number of sessions, and what a prompt token adds for each
 * range of positions (attention makes late ones dearer). Budgets come from a small set, so that shapes of steps
 * repeat, and at most double from what was tried.
 */
export class PrefillBudget {
  readonly #bases = new Map<number, Base>()
  /** Microseconds for each prompt token, by magnitude of its position. */
  readonly #costs: RecentMedian[] = []
  readonly #tried: number[] = []
  /** The newest budget. */
  #given = FIRST_BUDGET

  observe({ decodes, promptTokens, position, engineUs }: StepTiming): void {
    if (decodes === 0) return
    const base = this.#base(decodes)
    if (promptTokens === 0) {
      base.unmeasured = 0
      this.#measured(base, engineUs)
      return
    }
    if (promptTokens < TELLING_TOKENS && promptTokens < this.#given) return
    this.#tried.push(promptTokens)
    if (this.#tried.length > WINDOW) this.#tried.shift()
    const baseUs = this.#baseUs(decodes)
    if (baseUs === null) return
    const magnitude = magnitudeOf(position)
    this.#costs[magnitude] ??= new RecentMedian()
    this.#costs[magnitude].add(Math.max(0, engineUs - baseUs) / promptTokens)
  }

  /** Whether the next step with so many sessions should go without prompt tokens, to be measured; asked once a step. */
  measures(decodes: number): boolean {
    if (decodes === 0) return false
    const base = this.#base(decodes)
    const every = base.surprises.length > 0 || !base.time.settled ? 1 : MEASURE_EVERY
    base.unmeasured = base.unmeasured < every ? base.unmeasured + 1 : 0
    return base.unmeasured === 0
  }

  /** Prompt tokens for a step. */
  tokens(ahead: PromptAhead): number {
    this.#given = this.#choose(ahead)
    return this.#given
  }

  #choose({ decodes, position, promptTokens, behind }: PromptAhead): number {
    const baseUs = this.#baseUs(decodes)
    const cost = this.#cost(position)
    if (baseUs === null || cost === null) return FIRST_BUDGET
    const isShort = promptTokens * cost <= Math.max(SHORT_STEPS * baseUs, SHORT_US)
    const alikeUs = Math.max(baseUs, this.#baseUs(decodes + behind)!)
    const longestUs = isShort ? Math.max(SHORT_RATIO * alikeUs, SMOOTH_US) : LONGEST_RATIO * alikeUs
    const fitting = (longestUs - baseUs) / Math.max(cost, Number.MIN_VALUE)
    const most = Math.max(FIRST_BUDGET, 2 * Math.max(0, ...this.#tried))
    return wholeGroups(roundBudget(Math.min(fitting, most)), decodes)
  }

  #base(decodes: number): Base {
    const bucket = bucketOf(decodes)
    let base = this.#bases.get(bucket)
    if (base === undefined) {
      base = { decodes, time: new RecentMedian(), unmeasured: 0, surprises: [] }
      this.#bases.set(bucket, base)
    }
    return base
  }

  /** Several surprises in a row are a change of the engine: nothing measured before it holds any more. */
  #measured(base: Base, engineUs: number): void {
    const { time, surprises } = base
    if (!time.settled || Math.abs(engineUs - time.value) <= SURPRISE * time.value) base.surprises = []
    else if (surprises.length > 0 && engineUs > time.value !== surprises[0]! > time.value) {
      base.surprises = [engineUs]
    } else surprises.push(engineUs)
    if (surprises.length < ENOUGH) {
      time.add(engineUs)
      return
    }
    this.#bases.clear()
    this.#costs.length = 0
    this.#tried.length = 0
    const { time: anew } = this.#base(base.decodes)
    for (const value of surprises) anew.add(value)
  }

  /** Time of a step without prompt tokens; for a number of sessions that was not measured, by the nearest that were. */
  #baseUs(decodes: number): number | null {
    const own = this.#bases.get(bucketOf(decodes))
    if (own?.time.settled) return own.time.value
    const known = [...this.#bases.values()]
      .filter(({ time }) => time.settled)
      .sort((a, b) => a.decodes - b.decodes)
    if (known.length === 0) return null
    const above = known.findIndex((base) => base.decodes > decodes)
    if (above === 0) return fewerUs(known[0]!, decodes)
    const high = above === -1 ? known.length - 1 : above
    return betweenUs(known[high - 1] ?? known[high]!, known[high]!, decodes)
  }

  /** What a prompt token adds; later positions than measured are taken to cost a quarter more for each magnitude. */
  #cost(position: number): number | null {
    const magnitude = magnitudeOf(position)
    for (let below = magnitude; below >= 0; below--) {
      const cost = this.#costs[below]
      if (cost?.settled) return cost.value * 1.25 ** (magnitude - below)
    }
    for (let above = magnitude + 1; above < this.#costs.length; above++) {
      const cost = this.#costs[above]
      if (cost?.settled) return cost.value
    }
    return null
  }
}

/** Up to 8 sessions each for itself, more in groups of about a fifth. */
const bucketOf = (decodes: number): number =>
  decodes <= 8 ? decodes : 8 + Math.floor(4 * Math.log2(decodes / 8))

/** Somewhat fewer tokens, if there are many, so that with the decoding sessions they make whole groups of rows. */
const wholeGroups = (budget: number, decodes: number): number =>
  budget < 2 * ROW_GROUP ? budget : budget - ((decodes + budget) % ROW_GROUP)

/** Of fewer sessions than `base`, rather too short than too long. */
const fewerUs = ({ decodes: known, time }: Base, decodes: number): number =>
  time.value * (0.5 + (0.5 * decodes) / known)

/** On the line through both, which rises no faster than in proportion to the sessions. */
function betweenUs(low: Base, high: Base, decodes: number): number {
  const rise = (high.time.value - low.time.value) / Math.max(1, high.decodes - low.decodes)
  const slope = Math.min(Math.max(0, rise), high.time.value / high.decodes)
  return high.time.value + slope * (decodes - high.decodes)
}

const magnitudeOf = (position: number): number =>
  Math.max(0, Math.floor(Math.log2(Math.max(1, position) / 256)) + 1)

/** Down to a power of two or one and a half of it; prompts progress however slow the engine is. */
export function roundBudget(tokens: number): number {
  if (tokens < 2) return 1
  const power = 2 ** Math.floor(Math.log2(tokens))
  return tokens >= 1.5 * power ? 1.5 * power : power
}
