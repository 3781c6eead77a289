/** Lengths of a request. A decode step makes one token; the prompt's own forward pass makes none that counts. */
export interface RequestLengths {
  readonly promptTokens: number
  readonly outputTokens: number
}

/** Requests that come when they come. */
export interface OpenWorkload {
  readonly kind: 'open'
  readonly arrivals: readonly (RequestLengths & { readonly atMs: number })[]
}

/** A batch to be worked off: the next request comes when there is room. */
export interface ClosedWorkload {
  readonly kind: 'closed'
  /** Endless. */
  readonly draw: () => RequestLengths
  /** Requests at the beginning, and ms between them. */
  readonly initial: number
  readonly gapMs: number
  /**
   * `replace`: one more for each that is finished. `fill`: one more after each prompt and each request, as long as the
   * router's account of KV is at most `kvMost`. `waves`: none until that account has fallen to `kvLeast`, then one after
   * the other until it passes `kvMost`: a prompt on its way holds up every decode step behind it, and prompts that follow
   * each other closely hold them up little longer than one.
   */
  readonly refill:
    | { readonly by: 'replace' }
    | { readonly by: 'fill'; readonly kvMost: number }
    | { readonly by: 'waves'; readonly kvLeast: number; readonly kvMost: number }
}

export type Workload = OpenWorkload | ClosedWorkload
