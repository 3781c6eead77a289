import type { StreamFormat } from '../http/answering.ts'
import type { Problem } from '../http/problem.ts'
import type { Answer, AnswerEvent } from '../inference/answers.ts'
import type { TextToken } from '../inference/text-generation.ts'
import type { TextModel } from '../inference/text-model.ts'
import { errorBody } from './error-body.ts'
import { finiteLogprob, tokenText } from './token-text.ts'
import { usage } from './usage.ts'

/** What every body and chunk of one call repeats. */
export interface CallFacts {
  readonly id: string
  readonly createdSeconds: number
  readonly model: TextModel
  readonly promptTokens: number
  readonly answers: number
  /** Whether log-probabilities were asked for. */
  readonly logprobs: boolean
  readonly includeUsage: boolean
}

const fingerprint = (model: TextModel): string => `fp_${model.fingerprint.slice(0, 12)}`

function logprobContent(model: TextModel, tokens: readonly TextToken[]) {
  const entry = (token: number, logprob: number) => {
    const bytes = model.tokenBytes(token)
    return { token: tokenText(bytes), logprob: finiteLogprob(logprob), bytes: Array.from(bytes) }
  }
  return tokens.flatMap(({ token, logprobs }) =>
    logprobs === null
      ? []
      : [
          {
            ...entry(token, logprobs.logprob),
            top_logprobs: logprobs.top.map((top) => entry(top.token, top.logprob)),
          },
        ],
  )
}

const logprobField = (facts: CallFacts, tokens: readonly TextToken[]) =>
  facts.logprobs ? { content: logprobContent(facts.model, tokens), refusal: null } : null

/** The whole answer as one `chat.completion`. */
export function chatBody(facts: CallFacts, answers: readonly Answer[]) {
  return {
    id: facts.id,
    object: 'chat.completion',
    created: facts.createdSeconds,
    model: facts.model.id,
    choices: answers.map((answer, index) => ({
      index,
      message: { role: 'assistant', content: answer.text, refusal: null, annotations: [] },
      logprobs: logprobField(facts, answer.tokens),
      finish_reason: answer.reason,
    })),
    usage: usage(
      facts.promptTokens,
      answers.reduce((sum, { completionTokens }) => sum + completionTokens, 0),
    ),
    service_tier: 'default',
    system_fingerprint: fingerprint(facts.model),
  }
}

/** The answer as `chat.completion.chunk`s. */
export class ChatStream implements StreamFormat {
  readonly #facts: CallFacts
  #completionTokens = 0

  constructor(facts: CallFacts) {
    this.#facts = facts
  }

  start(): readonly unknown[] {
    return Array.from({ length: this.#facts.answers }, (_, index) =>
      this.#chunk([
        {
          index,
          delta: { role: 'assistant', content: '', refusal: null },
          logprobs: null,
          finish_reason: null,
        },
      ]),
    )
  }

  event({ answer, event }: AnswerEvent): readonly unknown[] {
    if (event.type === 'progress') return []
    if (event.type === 'finish') {
      this.#completionTokens += event.completionTokens
      return [this.#chunk([{ index: answer, delta: {}, logprobs: null, finish_reason: event.reason }])]
    }
    const logprobs = logprobField(this.#facts, event.tokens)
    if (event.text === '' && !logprobs) return []
    return [this.#chunk([{ index: answer, delta: { content: event.text }, logprobs, finish_reason: null }])]
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
      object: 'chat.completion.chunk',
      created: this.#facts.createdSeconds,
      model: this.#facts.model.id,
      service_tier: 'default',
      system_fingerprint: fingerprint(this.#facts.model),
      choices,
      ...(this.#facts.includeUsage && { usage: null }),
    }
  }
}
