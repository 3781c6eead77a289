import { type AnswerEvent, type ChatAnswer, totalUsage } from '../inference/answers.ts'
import type { ChatEvent } from '../inference/chat/chat-events.ts'
import type { TextToken } from '../inference/text-generation.ts'
import type { TextModel } from '../inference/text-model.ts'
import { type CallFacts, fingerprint } from './call-facts.ts'
import { ChunkStream } from './chunk-stream.ts'
import { finiteLogprob, tokenText } from './token-text.ts'
import { usageBody } from './usage.ts'

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

function messageOf({ content, reasoning, toolCalls }: ChatAnswer) {
  return {
    role: 'assistant',
    // As OpenAI has it: a turn that is nothing but calls has no content.
    content: content === '' && toolCalls.length > 0 ? null : content,
    refusal: null,
    annotations: [],
    ...(reasoning !== '' && { reasoning_content: reasoning }),
    ...(toolCalls.length > 0 && {
      tool_calls: toolCalls.map((call) => ({
        id: call.id,
        type: 'function',
        function: { name: call.name, arguments: call.arguments },
      })),
    }),
  }
}

/** The whole answer as one `chat.completion`. */
export function chatBody(facts: CallFacts, answers: readonly ChatAnswer[]) {
  return {
    id: facts.id,
    object: 'chat.completion',
    created: facts.createdSeconds,
    model: facts.model.id,
    choices: answers.map((answer, index) => ({
      index,
      message: messageOf(answer),
      logprobs: logprobField(facts, answer.tokens),
      finish_reason: answer.reason,
    })),
    usage: usageBody(
      facts.promptTokens,
      totalUsage(
        answers.map(({ usage }) => usage),
        facts.answersPerPrompt,
      ),
    ),
    service_tier: 'default',
    system_fingerprint: fingerprint(facts.model),
  }
}

/** The answer as `chat.completion.chunk`s. */
export class ChatStream extends ChunkStream<ChatEvent> {
  constructor(facts: CallFacts) {
    super(facts, 'chat.completion.chunk', { service_tier: 'default' })
  }

  start(): readonly unknown[] {
    return Array.from({ length: this.facts.answers }, (_, index) =>
      this.#choice(index, { role: 'assistant', content: '', refusal: null }),
    )
  }

  event({ answer, event }: AnswerEvent<ChatEvent>): readonly unknown[] {
    switch (event.type) {
      case 'progress':
      case 'tool-call-end':
        return []
      case 'reasoning':
        return [this.#choice(answer, { reasoning_content: event.text })]
      case 'content': {
        const logprobs = logprobField(this.facts, event.tokens)
        return event.text === '' && !logprobs ? [] : [this.#choice(answer, { content: event.text }, logprobs)]
      }
      case 'tool-call': {
        const { index, id, name } = event
        const call = { index, id, type: 'function', function: { name, arguments: '' } }
        return [this.#choice(answer, { tool_calls: [call] })]
      }
      case 'tool-arguments': {
        const call = { index: event.index, function: { arguments: event.text } }
        return [this.#choice(answer, { tool_calls: [call] })]
      }
      case 'finish':
        this.took(answer, event.usage)
        return [this.#choice(answer, {}, null, event.reason)]
    }
  }

  #choice(index: number, delta: object, logprobs: object | null = null, reason: string | null = null) {
    return this.chunk([{ index, delta, logprobs, finish_reason: reason }])
  }
}
