import type { SamplingParams } from '@deos/domain'

/** A call the assistant made, or was said to have made. */
export interface ToolCall {
  readonly id: string
  readonly name: string
  /** JSON text as the model wrote it, which need not be valid. */
  readonly arguments: string
}

/** One message of a conversation, the same for every API. */
export type ChatMessage =
  | { readonly role: 'system' | 'user'; readonly content: string; readonly name?: string }
  | {
      readonly role: 'assistant'
      readonly content: string
      /** What the model thought before; most templates leave it out of earlier turns. */
      readonly reasoning?: string
      readonly toolCalls?: readonly ToolCall[]
      readonly name?: string
    }
  | {
      readonly role: 'tool'
      readonly content: string
      /** The call this is the result of. */
      readonly toolCallId: string
      readonly name?: string
    }

export type JsonSchema = Readonly<Record<string, unknown>> | boolean

/** A function the model may call. */
export interface Tool {
  readonly name: string
  readonly description: string | null
  /** JSON schema of the arguments, an object; `null` if they were not described. */
  readonly parameters: JsonSchema | null
  /** Whether arguments must match the schema even when the model calls on its own account. */
  readonly strict: boolean
  /** Where the schema stands in the request, for messages: `tools[0].function.parameters`. */
  readonly param: string
}

export type ToolChoice =
  | { readonly type: 'auto' | 'none' | 'required' }
  | { readonly type: 'named'; readonly name: string }

/** What an answer's content must look like; `param` is the field that asks for it. */
export type OutputFormat =
  | { readonly type: 'text' }
  | { readonly type: 'json'; readonly param: string }
  | {
      readonly type: 'json_schema'
      readonly schema: JsonSchema
      /** Whether properties that the schema does not name are ruled out. */
      readonly strict: boolean
      readonly param: string
    }
  | { readonly type: 'regex'; readonly pattern: string; readonly param: string }
  | { readonly type: 'ebnf'; readonly grammar: string; readonly param: string }
  | { readonly type: 'choice'; readonly choices: readonly string[]; readonly param: string }

export interface Reasoning {
  /** How much to think, as templates know it (`low`, `medium`, `high`); `null` leaves it to the model. */
  readonly effort: string | null
  /** Whether to think at all, where a template lets one choose; `null` leaves it to the model. */
  readonly enabled: boolean | null
}

/** Whose request it is and how urgent. */
export interface RequestOrigin {
  readonly tenant: string
  /** Higher goes first; 0 is usual. -100 to 100. */
  readonly priority: number
}

/** A conversation to continue, whichever API asked for it. */
export interface ChatRequest extends RequestOrigin {
  /** Names the request in logs; unique among running requests. */
  readonly id: string
  /** At least one. */
  readonly messages: readonly ChatMessage[]
  readonly tools: readonly Tool[]
  readonly toolChoice: ToolChoice
  readonly parallelToolCalls: boolean
  readonly output: OutputFormat
  readonly reasoning: Reasoning
  /** Further variables for the chat template; they win over those made from the other fields. */
  readonly templateVariables: Readonly<Record<string, unknown>>
  /** How each answer is sampled: as many answers as entries. */
  readonly sampling: readonly SamplingParams[]
  /** Upper bound of one answer; `null`, or more than fits, is what the context leaves. */
  readonly maxTokens: number | null
  readonly stopStrings: readonly string[]
  readonly ignoreEos: boolean
  /** 0 is unlimited. */
  readonly deadlineMs: number
}

/** What most requests leave as it is. */
export const plainChat = {
  tools: [],
  toolChoice: { type: 'auto' },
  parallelToolCalls: true,
  output: { type: 'text' },
  reasoning: { effort: null, enabled: null },
  templateVariables: {},
  maxTokens: null,
  stopStrings: [],
  ignoreEos: false,
  deadlineMs: 0,
} as const satisfies Partial<ChatRequest>
