import type { FinishReason } from '@deos/protocol'
import type { ChatEvent, ChatFinishReason } from './chat/chat-events.ts'
import type { ToolCall } from './chat/chat-request.ts'
import { merge } from './merge.ts'
import type { TextEvent, TextToken, Usage } from './text-generation.ts'

/** Something that one of several answers says. */
export interface AnswerEvent<E> {
  readonly answer: number
  readonly event: E
}

/** An answer that begins when it is called. */
export type AnswerSource<E> = (signal: AbortSignal) => AsyncIterable<E>

/** A completion that is complete. */
export interface TextAnswer {
  readonly text: string
  readonly tokens: readonly TextToken[]
  readonly reason: FinishReason
  readonly stopString: string | null
  readonly usage: Usage
}

/** An assistant's turn that is complete. */
export interface ChatAnswer {
  readonly content: string
  readonly reasoning: string
  readonly toolCalls: readonly ToolCall[]
  /** Tokens of the content. */
  readonly tokens: readonly TextToken[]
  readonly reason: ChatFinishReason
  readonly stopString: string | null
  readonly usage: Usage
}

const nothing: Usage = { completionTokens: 0, reasoningTokens: 0, cachedTokens: 0 }

/**
 * Writes all answers of a call at once. When one fails, the others are cancelled and the error is thrown.
 */
export async function* writeAnswers<E>(
  answers: readonly AnswerSource<E>[],
  signal: AbortSignal,
): AsyncGenerator<AnswerEvent<E>, void> {
  const all = new AbortController()
  const abort = () => all.abort(signal.reason)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort)
  try {
    const streams = answers.map((answer) => answer(all.signal))
    for await (const [answer, event] of merge(streams)) yield { answer, event }
  } finally {
    signal.removeEventListener('abort', abort)
    all.abort(new Error('The other answers of this request ended.'))
  }
}

/** Waits for all completions of a call. */
export async function collectTexts(
  events: AsyncIterable<AnswerEvent<TextEvent>>,
  count: number,
): Promise<readonly TextAnswer[]> {
  const drafts = Array.from({ length: count }, () => ({
    text: '',
    tokens: [] as TextToken[],
    reason: 'length' as FinishReason,
    stopString: null as string | null,
    usage: nothing,
  }))
  for await (const { answer, event } of events) {
    const draft = drafts[answer]!
    if (event.type === 'delta') {
      draft.text += event.text
      draft.tokens.push(...event.tokens)
    } else if (event.type === 'finish') {
      const { reason, stopString, usage } = event
      Object.assign(draft, { reason, stopString, usage })
    }
  }
  return drafts
}

class ChatDraft {
  content = ''
  reasoning = ''
  readonly toolCalls: { id: string; name: string; arguments: string }[] = []
  readonly tokens: TextToken[] = []
  reason: ChatFinishReason = 'length'
  stopString: string | null = null
  usage = nothing

  add(event: ChatEvent): void {
    switch (event.type) {
      case 'content':
        this.content += event.text
        this.tokens.push(...event.tokens)
        break
      case 'reasoning':
        this.reasoning += event.text
        break
      case 'tool-call':
        this.toolCalls[event.index] = { id: event.id, name: event.name, arguments: '' }
        break
      case 'tool-arguments':
        this.toolCalls[event.index]!.arguments += event.text
        break
      case 'finish':
        this.reason = event.reason
        this.stopString = event.stopString
        this.usage = event.usage
    }
  }
}

/** Waits for all turns of a call. */
export async function collectChats(
  events: AsyncIterable<AnswerEvent<ChatEvent>>,
  count: number,
): Promise<readonly ChatAnswer[]> {
  const drafts = Array.from({ length: count }, () => new ChatDraft())
  for await (const { answer, event } of events) drafts[answer]!.add(event)
  return drafts
}

/**
 * What all answers of a call took together.
 *
 * @param perPrompt - how many answers in a row share a prompt, which counts once: as cached, what none had to compute
 */
export function totalUsage(all: readonly Usage[], perPrompt: number): Usage {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
  const prompts = Array.from({ length: Math.ceil(all.length / perPrompt) }, (_, prompt) =>
    all.slice(prompt * perPrompt, (prompt + 1) * perPrompt),
  )
  return {
    completionTokens: sum(all.map(({ completionTokens }) => completionTokens)),
    reasoningTokens: sum(all.map(({ reasoningTokens }) => reasoningTokens)),
    cachedTokens: sum(prompts.map((group) => Math.min(...group.map(({ cachedTokens }) => cachedTokens)))),
  }
}
