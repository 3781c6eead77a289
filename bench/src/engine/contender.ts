/** One way to run a model, driven the same as the others so that their times can be compared. */
export interface Contender {
  /** Forgets every sequence, then computes `tokens` as a new one up to the logits after its last token. */
  prefill(tokens: Int32Array): Promise<void>
  /** Forgets every sequence, then fills sequences `[0, count)` with the same tokens. */
  fill(count: number, tokens: Int32Array): Promise<void>
  /** One more token for each of sequences `[0, tokens.length)`; their logits are readable afterwards. */
  step(tokens: Int32Array): Promise<void>
  /** Cuts sequences `[0, count)` back to `length` tokens. */
  rewind(count: number, length: number): void
  /** Forgets the sequences from `count` on. */
  keep(count: number): void
  close(): void
}

/** Tokens per second of prefill. */
export async function prefillRate(contender: Contender, tokens: Int32Array): Promise<number> {
  const start = performance.now()
  await contender.prefill(tokens)
  return (tokens.length * 1000) / (performance.now() - start)
}

export interface DecodeRun {
  readonly batch: number
  readonly steps: number
  /** Tokens every sequence holds before the first step. */
  readonly depth: number
  /** Token of a sequence at a step; the same for every contender, so that only arithmetic differs. */
  token(sequence: number, step: number): number
}

/** Tokens per second over all sequences; the contender was filled to `depth`, and is again afterwards. */
export async function decodeRate(contender: Contender, run: DecodeRun): Promise<number> {
  const { batch, steps, depth } = run
  const inputs = Array.from({ length: steps }, (_, step) =>
    Int32Array.from({ length: batch }, (_, sequence) => run.token(sequence, step)),
  )
  const start = performance.now()
  for (const tokens of inputs) await contender.step(tokens)
  const elapsedMs = performance.now() - start
  contender.rewind(batch, depth)
  return (batch * steps * 1000) / elapsedMs
}
