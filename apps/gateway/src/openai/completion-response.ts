import type { StreamFormat } from '../http/answering.ts'
import type { Problem } from '../http/problem.ts'
import type { Answer, AnswerEvent } from '../inference/answers.ts'
import type { TextToken } from '../inference/text-generation.ts'
import type { TextModel } from '../inference/text-model.ts'
import type { CallFacts } from './chat-response.ts'
import { errorBody } from './error-body.ts'
import { finiteLogprob, tokenTextOf } from './token-text.ts'
import { usage } from './usage.ts'

/** The likeliest tokens by their text, the chosen one among them; of tokens with one text the likelier counts. */
function alternatives(model: TextModel, { token, logprobs }: TextToken): Readonly<Record<string, number>> {
  const all = [...(logprobs?.top ?? []), { token, logprob: logprobs?.logprob ?? 0 }]
  const byText = new Map<string, number>()
  for (const { token, logprob } of all) {
    const text = tokenTextOf(model, token)
    if (!byText.has(text)) byText.set(text, finiteLogprob(logprob))
  }
  return Object.fromEntries(byText)
}

function logprobLists(facts: CallFacts, tokens: readonly TextToken[], echoLength: number) {
  if (!facts.logprobs) return null
  const { model } = facts
  return {
    tokens: tokens.map(({ token }) => tokenTextOf(model, token)),
    token_logprobs: tokens.map(({ logprobs }) => finiteLogprob(logprobs?.logprob ?? 0)),
    top_logprobs: tokens.map((token) => alternatives(model, token)),
    text_offset: tokens.map(({ offset }) => offset + echoLength),
  }
}

/** The whole answer as one `text_completion`. `echoes` holds what stands before each answer. */
export function completionBody(facts: CallFacts, answers: readonly Answer[], echoes: readonly string[]) {
  return {
    id: facts.id,
    object: 'text_completion',
    created: facts.createdSeconds,
    model: facts.model.id,
    choices: answers.map((answer, index) => ({
      index,
      text: echoes[index]! + answer.text,
      logprobs: logprobLists(facts, answer.tokens, echoes[index]!.length),
      finish_reason: answer.reason,
    })),
    usage: usage(
      facts.promptTokens,
      answers.reduce((sum, { completionTokens }) => sum + completionTokens, 0),
    ),
    system_fingerprint: `fp_${facts.model.fingerprint.slice(0, 12)}`,
  }
}

/** The answer as a stream of `text_completion`s. */
export class CompletionStream implements StreamFormat {
  readonly #facts: CallFacts
  readonly #echoes: readonly string[]
  #completionTokens = 0

  constructor(facts: CallFacts, echoes: readonly string[]) {
    this.#facts = facts
    this.#echoes = echoes
  }

  start(): readonly unknown[] {
    return this.#echoes.flatMap((text, index) =>
      text === '' ? [] : [this.#chunk([{ index, text, logprobs: null, finish_reason: null }])],
    )
  }

  event({ answer, event }: AnswerEvent): readonly unknown[] {
    if (event.type === 'progress') return []
    if (event.type === 'finish') {
      this.#completionTokens += event.completionTokens
      return [this.#chunk([{ index: answer, text: '', logprobs: null, finish_reason: event.reason }])]
    }
    const logprobs = logprobLists(this.#facts, event.tokens, this.#echoes[answer]!.length)
    if (event.text === '' && !logprobs) return []
    return [this.#chunk([{ index: answer, text: event.text, logprobs, finish_reason: null }])]
  }

  end(): readonly unknown[] {
    const last = this.#facts.includeUsage
      ? [{ ...this.#chunk([]), usage: usage(this.#facts.promptTokens, this.#completionTokens) }]
      : []
    return [...last, '[DONE]']
  }

  error(problem: Problem): readonly unknown[] {
    return [errorBody(problem)]
  }

  #chunk(choices: readonly unknown[]) {
    return {
      id: this.#facts.id,
      object: 'text_completion',
      created: this.#facts.createdSeconds,
      model: this.#facts.model.id,
      choices,
      system_fingerprint: `fp_${this.#facts.model.fingerprint.slice(0, 12)}`,
      ...(this.#facts.includeUsage && { usage: null }),
    }
  }
}
