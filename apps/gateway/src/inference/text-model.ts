import type { SamplingParams } from '@deos/domain'
import type { Backend } from './backend.ts'

/** One message of a conversation, as chat templates know it. */
export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool'
  readonly content: string
  readonly name?: string
  readonly tool_call_id?: string
  readonly tool_calls?: readonly object[]
}

/** Turns tokens back into text as they come; never gives out half a character. */
export interface TextDecoder {
  /** Text that is complete after this token; often empty inside a multi-byte character. */
  push(token: number): string
  /** What is left at the end, with U+FFFD for broken bytes. */
  flush(): string
}

/** A model under its public name: its words on one side, the backend that runs it on the other. */
export interface TextModel {
  readonly id: string
  readonly createdSeconds: number
  /** Changes with the weights. */
  readonly fingerprint: string
  readonly contextLength: number
  readonly vocabSize: number
  /** Tokens that end a generation. */
  readonly stopTokens: readonly number[]
  /** The model's own taste, where it states one. */
  readonly defaults: Partial<
    Pick<SamplingParams, 'temperature' | 'topK' | 'topP' | 'minP' | 'repetitionPenalty'>
  >
  readonly backend: Backend

  /** @param special - whether the model's beginning-of-sequence token goes first and special tokens are recognised */
  encode(text: string, special: SpecialTokens, signal: AbortSignal): Promise<Int32Array>
  /** @throws ChatTemplateError if the model has no template or the template refuses the messages */
  renderChat(messages: readonly ChatMessage[]): string
  decoder(): TextDecoder
  /** The bytes one token stands for. */
  tokenBytes(token: number): Uint8Array
}

/** `prompt`: plain text, begins as the model expects. `template`: rendered by a chat template, which wrote them all. */
export type SpecialTokens = 'prompt' | 'template'

/** The models this gateway serves, by name. */
export type ModelCatalog = ReadonlyMap<string, TextModel>
