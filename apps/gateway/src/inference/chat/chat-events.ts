import type { Progress, TextToken, Usage } from '../text-generation.ts'

export type ChatFinishReason = 'stop' | 'length' | 'tool_calls'

/** What a model says in one answer, in order. */
export type ChatEvent =
  | Progress
  /** Thoughts, where the model marks them. */
  | { readonly type: 'reasoning'; readonly text: string }
  | {
      readonly type: 'content'
      readonly text: string
      /** Tokens whose text is out by now, if they belong to content. */
      readonly tokens: readonly TextToken[]
    }
  /** A call begins; `index` counts the calls of this answer from 0. */
  | { readonly type: 'tool-call'; readonly index: number; readonly id: string; readonly name: string }
  /** The next piece of a call's arguments, JSON text as the model wrote it. */
  | { readonly type: 'tool-arguments'; readonly index: number; readonly text: string }
  | { readonly type: 'tool-call-end'; readonly index: number }
  | ChatFinish

export interface ChatFinish {
  readonly type: 'finish'
  readonly reason: ChatFinishReason
  /** The stop string that was found. */
  readonly stopString: string | null
  readonly usage: Usage
}
