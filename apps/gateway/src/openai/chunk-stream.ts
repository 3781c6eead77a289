import type { StreamFormat } from '../http/answering.ts'
import type { Problem } from '../http/problem.ts'
import { type AnswerEvent, totalUsage } from '../inference/answers.ts'
import type { Usage } from '../inference/text-generation.ts'
import { type CallFacts, fingerprint } from './call-facts.ts'
import { errorBody } from './error-body.ts'
import { usageBody } from './usage.ts'

/** What streams of chats and of completions share: chunks with one choice each, usage, `[DONE]`. */
export abstract class ChunkStream<E> implements StreamFormat<E> {
  readonly framing = 'sse'
  readonly #usages: Usage[] = []

  /** @param extra - fields that every chunk of this kind carries besides the common ones */
  constructor(
    protected readonly facts: CallFacts,
    private readonly object: string,
    private readonly extra: Readonly<Record<string, unknown>>,
  ) {}

  abstract start(): readonly unknown[]
  abstract event(event: AnswerEvent<E>): readonly unknown[]

  end(): readonly unknown[] {
    const { includeUsage, promptTokens, answersPerPrompt } = this.facts
    const last = includeUsage
      ? [{ ...this.chunk([]), usage: usageBody(promptTokens, totalUsage(this.#usages, answersPerPrompt)) }]
      : []
    return [...last, '[DONE]']
  }

  error(problem: Problem): readonly unknown[] {
    return [errorBody(problem)]
  }

  /** Notes what an answer took, for the end. */
  protected took(answer: number, usage: Usage): void {
    this.#usages[answer] = usage
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
