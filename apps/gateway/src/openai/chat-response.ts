import type { Answer } from '../inference/answers.ts'
import type { TextToken } from '../inference/text-generation.ts'
import type { TextModel } from '../inference/text-model.ts'
import { type CallFacts, fingerprint } from './call-facts.ts'
import { ChunkStream } from './chunk-stream.ts'
import { finiteLogprob, tokenText } from './token-text.ts'
import { usage } from './usage.ts'

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
export class ChatStream extends ChunkStream {
  constructor(facts: CallFacts) {
    super(facts, 'chat.completion.chunk', { service_tier: 'default' })
  }

  start(): readonly unknown[] {
    return Array.from({ length: this.facts.answers }, (_, index) =>
      this.chunk([
        {
          index,
          delta: { role: 'assistant', content: '', refusal: null },
          logprobs: null,
          finish_reason: null,
        },
      ]),
    )
  }

  protected piece(text: string | null) {
    return { delta: text === null ? {} : { content: text } }
  }

  protected logprobs(_answer: number, tokens: readonly TextToken[]) {
    return logprobField(this.facts, tokens)
  }
}
