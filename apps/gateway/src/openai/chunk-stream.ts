import type { StreamFormat } from '../http/answering.ts'
import type { Problem } from '../http/problem.ts'
import type { AnswerEvent } from '../inference/answers.ts'
import type { TextToken } from '../inference/text-generation.ts'
import { type CallFacts, fingerprint } from './call-facts.ts'
import { errorBody } from './error-body.ts'
import { usage } from './usage.ts'

/** What streams of chats and of completions share: one chunk for each piece of text and each end, usage, `[DONE]`. */
export abstract class ChunkStream implements StreamFormat {
  #completionTokens = 0

  /** @param extra - fields that every chunk of this kind carries besides the common ones */
  constructor(
    protected readonly facts: CallFacts,
    private readonly object: string,
    private readonly extra: Readonly<Record<string, unknown>>,
  ) {}

  abstract start(): readonly unknown[]

  /** How a choice carries a piece of text; `null` in the chunk that ends an answer. */
  protected abstract piece(text: string | null): Readonly<Record<string, unknown>>

  /** The field `logprobs` of a choice; `null` if none were asked for. */
  protected abstract logprobs(answer: number, tokens: readonly TextToken[]): unknown

  event({ answer, event }: AnswerEvent): readonly unknown[] {
    if (event.type === 'progress') return []
    if (event.type === 'finish') {
      this.#completionTokens += event.completionTokens
      const end = { index: answer, ...this.piece(null), logprobs: null, finish_reason: event.reason }
      return [this.chunk([end])]
    }
    const logprobs = this.logprobs(answer, event.tokens)
    if (event.text === '' && !logprobs) return []
    return [this.chunk([{ index: answer, ...this.piece(event.text), logprobs, finish_reason: null }])]
  }

  end(): readonly unknown[] {
    const last = this.facts.includeUsage
      ? [{ ...this.chunk([]), usage: usage(this.facts.promptTokens, this.#completionTokens) }]
      : []
    return [...last, '[DONE]']
  }

  error(problem: Problem): readonly unknown[] {
    return [errorBody(problem)]
  }

  protected chunk(choices: readonly unknown[]) {
    return {
      id: this.facts.id,
      object: this.object,
      created: this.facts.createdSeconds,
      model: this.facts.model.id,
      system_fingerprint: fingerprint(this.facts.model),
      ...this.extra,
      choices,
      ...(this.facts.includeUsage && { usage: null }),
    }
  }
}
