import { type AnswerEvent, type TextAnswer, totalUsage } from '../inference/answers.ts'
import type { TextEvent, TextToken } from '../inference/text-generation.ts'
import type { TextModel } from '../inference/text-model.ts'
import { type CallFacts, fingerprint } from './call-facts.ts'
import { ChunkStream } from './chunk-stream.ts'
import { finiteLogprob, tokenTextOf } from './token-text.ts'
import { usageBody } from './usage.ts'

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
export function completionBody(facts: CallFacts, answers: readonly TextAnswer[], echoes: readonly string[]) {
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
    usage: usageBody(
      facts.promptTokens,
      totalUsage(
        answers.map(({ usage }) => usage),
        facts.answersPerPrompt,
      ),
    ),
    system_fingerprint: fingerprint(facts.model),
  }
}

/** The answer as a stream of `text_completion`s. */
export class CompletionStream extends ChunkStream<TextEvent> {
  readonly #echoes: readonly string[]

  constructor(facts: CallFacts, echoes: readonly string[]) {
    super(facts, 'text_completion', {})
    this.#echoes = echoes
  }

  start(): readonly unknown[] {
    return this.#echoes.flatMap((text, index) =>
      text === '' ? [] : [this.chunk([{ index, text, logprobs: null, finish_reason: null }])],
    )
  }

  event({ answer, event }: AnswerEvent<TextEvent>): readonly unknown[] {
    switch (event.type) {
      case 'progress':
        return []
      case 'delta': {
        const logprobs = logprobLists(this.facts, event.tokens, this.#echoes[answer]!.length)
        if (event.text === '' && !logprobs) return []
        return [this.chunk([{ index: answer, text: event.text, logprobs, finish_reason: null }])]
      }
      case 'finish':
        this.took(answer, event.usage)
        return [this.chunk([{ index: answer, text: '', logprobs: null, finish_reason: event.reason }])]
    }
  }
}
