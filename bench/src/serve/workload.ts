import { type Random, seededRandom } from '@deos/domain'

/** A prompt as token ids, and exactly how many tokens are to follow it. */
export interface ServeRequest {
  readonly prompt: readonly number[]
  readonly maxTokens: number
}

/** Token ids that prompts are made of, `[first, end)`. */
export interface TokenIds {
  readonly first: number
  readonly end: number
}

/** Whole numbers, both ends included. */
type Span = readonly [least: number, most: number]

/**
 * What a service sees: questions and, now and then, documents; half of the prompts begin with one of a few system
 * prompts.
 */
const mixed = {
  longShare: 0.25,
  shortTokens: [16, 48],
  longTokens: [128, 256],
  prefixes: 2,
  prefixTokens: 64,
  prefixedShare: 0.5,
  outputTokens: [16, 32],
} as const satisfies Record<string, number | Span>

/** One long system prompt before every short question. */
const shared = { prefixTokens: 512, ownTokens: [16, 48], outputTokens: [16, 16] } as const satisfies Record<
  string,
  number | Span
>

/** The workloads' settings, for the report. */
export const workloads = { mixed, shared }

/** A made-up source of requests: the same seed gives the same requests. */
export class Workload {
  readonly #random: Random

  constructor(
    private readonly ids: TokenIds,
    seed: number,
  ) {
    if (!(ids.first >= 0 && ids.end > ids.first)) {
      throw new RangeError(`Token ids [${ids.first}, ${ids.end}) are none.`)
    }
    this.#random = seededRandom(seed)
  }

  mixed(count: number): readonly ServeRequest[] {
    const prefixes = Array.from({ length: mixed.prefixes }, () => this.tokens(mixed.prefixTokens))
    // Shares hold in every run: of many requests few are long, of few requests one.
    const long = this.#spread(count, mixed.longShare)
    const prefixed = this.#spread(count, mixed.prefixedShare)
    return Array.from({ length: count }, (_, index) => {
      const prefix = prefixed[index]! ? prefixes[this.#whole([0, mixed.prefixes - 1])]! : []
      const own = this.tokens(this.#whole(long[index]! ? mixed.longTokens : mixed.shortTokens))
      return { prompt: [...prefix, ...own], maxTokens: this.#whole(mixed.outputTokens) }
    })
  }

  sharedPrefix(count: number): readonly ServeRequest[] {
    const prefix = this.tokens(shared.prefixTokens)
    return Array.from({ length: count }, () => ({
      prompt: [...prefix, ...this.tokens(this.#whole(shared.ownTokens))],
      maxTokens: this.#whole(shared.outputTokens),
    }))
  }

  short(count: number, maxTokens: number): readonly ServeRequest[] {
    return Array.from({ length: count }, () => ({
      prompt: this.tokens(this.#whole(mixed.shortTokens)),
      maxTokens,
    }))
  }

  /** Two prompts of `length` tokens of which the first `share` is the same, and not a token more. */
  pairSharing(length: number, share: number): readonly [readonly number[], readonly number[]] {
    const first = this.tokens(length)
    const common = Math.round(length * share)
    const rest = this.tokens(length - common)
    const { first: least, end } = this.ids
    if (rest.length > 0 && rest[0] === first[common])
      rest[0] = least + ((rest[0]! + 1 - least) % (end - least))
    return [first, [...first.slice(0, common), ...rest]]
  }

  tokens(count: number): number[] {
    return Array.from({ length: count }, () => this.#whole([this.ids.first, this.ids.end - 1]))
  }

  #whole([least, most]: Span): number {
    return least + Math.floor(this.#random.next() * (most - least + 1))
  }

  /** `share` of `count` flags set, rounded up, in random order. */
  #spread(count: number, share: number): readonly boolean[] {
    const flags = Array.from({ length: count }, (_, index) => index < Math.ceil(count * share))
    for (let at = count - 1; at > 0; at--) {
      const other = this.#whole([0, at])
      const flag = flags[at]!
      flags[at] = flags[other]!
      flags[other] = flag
    }
    return flags
  }
}
