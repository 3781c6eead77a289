import type { Conversation } from '@deos/engine/tokenizer'
import type { JsonSchema } from '../chat/chat-request.ts'
import type { AnswerParser } from './pieces.ts'
import type { TagFormat } from './structural-tag.ts'

export const formatNames = [
  'hermes',
  'qwen-coder',
  'glm',
  'llama',
  'mistral',
  'mistral-named',
  'deepseek',
  'deepseek-plain',
  'harmony',
  'phi',
  'gemma',
  'generic',
] as const

export type FormatName = (typeof formatNames)[number]

/** Texts around thoughts. */
export interface ReasoningMarkers {
  readonly open: string
  readonly close: string
}

/** What a parser must know of the request. */
export interface ParserOptions {
  /** The tools on offer by name, with the schema of their arguments; without any, calls are not looked for. */
  readonly tools: ReadonlyMap<string, JsonSchema>
}

/** A tool as grammars need it: its name and what its arguments must look like. */
export interface CallableTool {
  readonly name: string
  readonly parameters: JsonSchema
}

/** How a family of models was taught to call tools. */
export interface ToolFormat {
  readonly name: FormatName
  /** Texts that may be control tokens and that the parser must see. */
  readonly visibleTokens: readonly string[]
  /** Whether everything the model says stands in such marks, not only calls. */
  readonly marksAll: boolean
  /** Whether tools are offered, and calls written, as this format does, by the text of a chat template. */
  matches(template: string): boolean
  parser(options: ParserOptions): AnswerParser

  /** Makes a conversation fit the templates of this format; left out where none is needed. */
  arrange?(conversation: Conversation): Conversation
  /** Calls as the model would have written them: for templates that leave them out, and to show it how. */
  writeCalls(calls: readonly { readonly name: string; readonly arguments: string }[]): string

  /** Calls and nothing else: one, or with `parallel` one or more. */
  calls(tools: readonly CallableTool[], parallel: boolean): TagFormat
  /** Free text in which every call is one of these. */
  textWithCalls(tools: readonly CallableTool[], parallel: boolean): TagFormat
  /** Content of this form with the marks the format puts around content; left out where it puts none. */
  output?(content: TagFormat): TagFormat
}

/** What a chat template does by itself; the rest is done for it. */
export interface TemplateAbilities {
  /** Takes a message of role `system`. */
  readonly system: boolean
  /** Tells the model about tools. */
  readonly tools: boolean
  /** Writes the calls of earlier turns. */
  readonly calls: boolean
  /** Content that such a turn must have for its calls to be written. */
  readonly contentOfCalls: '' | null
  /** How it wants the arguments of calls: as values, or as JSON text. */
  readonly arguments: 'values' | 'text'
  /** Writes the results of calls. */
  readonly results: boolean
}

/** How one model is spoken with. */
export interface ChatFormat {
  readonly tools: ToolFormat
  /** `null` if the model does not think aloud, or marks it in the format's own way. */
  readonly reasoning: ReasoningMarkers | null
  readonly abilities: TemplateAbilities
}
