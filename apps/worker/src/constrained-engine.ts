import { describeError, type KvSlice, type KvSliceWrite } from '@deos/domain'
import { maskWords } from '@deos/engine/sampling'
import type {
  EngineKv,
  EngineSession,
  EngineStep,
  EngineStepResult,
  RingCapacity,
  SessionKey,
  SessionNeeds,
  StageEngine,
} from '@deos/protocol'
import type { StepMasks } from './engine-client.ts'

/** Answers under way and what may come next in each. */
export interface GrammarService {
  /** @throws Error saying what is wrong with the specification, or that not even its shortest text fits */
  prepare(specText: string, maxTokens: number): Promise<void>
  /**
   * What was prepared may be asked for at once.
   *
   * @param generated - tokens of the answer so far, for one that is taken up again
   * @throws Error if no answer fits
   */
  open(key: number, specText: string, generated: Int32Array, maxTokens: number): Promise<void>
  /** One bit for each token of the vocabulary that may come next. */
  mask(key: number): Promise<Uint32Array>
  accept(key: number, token: number): void
  close(key: number): void
}

/** An engine with the head, which samples what masks allow. */
export interface MaskedEngine extends StageEngine {
  step(step: EngineStep, masks?: StepMasks | null): Promise<EngineStepResult>
}

export interface ConstrainedEngineOptions {
  readonly vocabSize: number
  /** What a constrained answer ends with when its grammar fails. */
  readonly stopTokens: readonly number[]
  readonly onProblem: (message: string) => void
}

/** A constrained session. */
interface Answer {
  /** The mask of the next token that a step is asked for; it may have to wait for tokens of earlier steps. */
  mask: Promise<Uint32Array>
  /** Its grammar is followed no more. */
  hasFailed: boolean
}

/**
 * Binds the sessions of an engine to their grammars. Masks are worked out ahead, beside the steps of other sessions and
 * the forward pass of their own: a step is handed to the engine at once, its masks as soon as they are there.
 */
export class ConstrainedEngine implements StageEngine {
  private readonly answers = new Map<SessionKey, Answer>()

  constructor(
    private readonly engine: MaskedEngine,
    private readonly grammars: GrammarService,
    private readonly options: ConstrainedEngineOptions,
  ) {}

  get capacity(): RingCapacity {
    return this.engine.capacity
  }

  get kv(): EngineKv {
    return this.engine.kv
  }

  async prepare(needs: SessionNeeds, maxTokens: number): Promise<void> {
    const { grammar } = needs
    await Promise.all([
      this.engine.prepare({ ...needs, grammar: null }, maxTokens),
      grammar === null ? null : this.grammars.prepare(grammar, maxTokens),
    ])
  }

  open(session: EngineSession): void {
    const { key, tokens, resumed, maxTokens, needs } = session
    this.engine.open({ ...session, needs: { ...needs, grammar: null } })
    if (needs.grammar === null) return
    const generated = tokens.slice(tokens.length - resumed)
    const opened = this.grammars.open(key, needs.grammar, generated, maxTokens)
    const answer: Answer = { mask: Promise.resolve(this.anything), hasFailed: false }
    this.answers.set(key, answer)
    this.workAhead(key, answer, opened)
  }

  close(key: SessionKey): void {
    this.engine.close(key)
    if (this.answers.delete(key)) this.grammars.close(key)
  }

  async step(step: EngineStep): Promise<EngineStepResult> {
    const { entries } = step
    const sampling = [...entries.keys()].filter((index) => entries[index]!.sample)
    const masked = sampling.filter((index) => this.answers.has(entries[index]!.key))
    if (masked.length === 0) return this.engine.step(step)
    const turns = masked.map((index) => this.takeTurn(entries[index]!.key))
    const words = Promise.all(turns.map(({ mask }) => mask))
    try {
      const result = await this.engine.step(step, { entries: masked, words })
      for (const [turn, index] of masked.entries()) {
        turns[turn]!.sampled(result.sampled[sampling.indexOf(index)]?.token ?? null)
      }
      return result
    } catch (error) {
      for (const turn of turns) turn.sampled(null)
      throw error
    }
  }

  readKv(slice: KvSlice): Promise<Uint8Array> {
    return this.engine.readKv(slice)
  }

  writeKv(slice: KvSliceWrite, isWanted?: () => boolean): Promise<void> {
    return this.engine.writeKv(slice, isWanted)
  }

  async reset(): Promise<void> {
    this.forget()
    await this.engine.reset()
  }

  freePages(): Promise<number> {
    return this.engine.freePages()
  }

  async stop(): Promise<void> {
    this.forget()
    await this.engine.stop()
  }

  /** Closes every answer under way: the engine has lost its sessions. */
  forget(): void {
    for (const key of this.answers.keys()) this.grammars.close(key)
    this.answers.clear()
  }

  /**
   * The mask for a step's token of a session. The one for the token after it waits until that is sampled, since the
   * step that needs it may be asked for before.
   */
  private takeTurn(key: SessionKey): {
    readonly mask: Promise<Uint32Array>
    /** @param token - `null` if the step failed, and with it every session */
    sampled(token: number | null): void
  } {
    const answer = this.answers.get(key)!
    const { mask } = answer
    let sampled: (token: number | null) => void = () => undefined
    const token = new Promise<number | null>((resolve) => {
      sampled = resolve
    })
    this.workAhead(
      key,
      answer,
      token.then((known) => {
        if (known !== null && this.follows(key, answer)) this.grammars.accept(key, known)
      }),
    )
    return { mask, sampled }
  }

  /** Whether the session is open and its grammar in force. */
  private follows(key: SessionKey, answer: Answer): boolean {
    return this.answers.get(key) === answer && !answer.hasFailed
  }

  private workAhead(key: SessionKey, answer: Answer, ready: Promise<void>): void {
    answer.mask = this.nextMask(key, answer, ready).catch((error: unknown) => {
      if (this.answers.get(key) !== answer) return this.anything
      // One answer that ends early is better than a fault of the ring, which would end all.
      answer.hasFailed = true
      this.options.onProblem(`The grammar of session ${key} failed: ${describeError(error)}`)
      return this.endMask()
    })
  }

  private async nextMask(key: SessionKey, answer: Answer, ready: Promise<void>): Promise<Uint32Array> {
    await ready
    if (answer.hasFailed) return this.endMask()
    // A step ahead of the last token samples something that nobody gets to see.
    return this.follows(key, answer) ? this.grammars.mask(key) : this.anything
  }

  private get anything(): Uint32Array {
    return new Uint32Array(maskWords(this.options.vocabSize)).fill(0xffff_ffff)
  }

  private endMask(): Uint32Array {
    const words = new Uint32Array(maskWords(this.options.vocabSize))
    for (const token of this.options.stopTokens) words[token >> 5]! |= 1 << (token & 31)
    return words
  }
}
