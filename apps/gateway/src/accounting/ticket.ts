/** Kinds of work, as OpenTelemetry's conventions call them. */
export type Operation = 'chat' | 'text_completion' | 'embeddings'

/** What a request asks for, once it is understood and before anything is computed for it. */
export interface Work {
  readonly operation: Operation
  /** All prompts together, each once. */
  readonly promptTokens: number
  /** The most that all answers together may generate. */
  readonly mostTokens: number
  /** Whether the request said itself how much that is. */
  readonly bounded: boolean
  readonly streamed: boolean
}

/** A request's pass: limits and budgets are asked through it, and it becomes the record of the request. */
export interface Ticket {
  /** What every answer to the request says in its headers. */
  headers(): Readonly<Record<string, string>>
  /** @throws Problem 402, 429 or 503 */
  admit(work: Work): Promise<void>
  /** The first end counts. @param status - of the answer, or what it would have been had it not begun already */
  end(status: number): void
}
