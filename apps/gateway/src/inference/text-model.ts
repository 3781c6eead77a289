import type { SamplingParams } from '@deos/domain'
import type { Conversation } from '@deos/engine/tokenizer'
import type { Backend } from './backend.ts'
import type { ChatFormat } from './formats/chat-format.ts'

/** Turns tokens back into text as they come; never gives out half a character. */
export interface TextDecoder {
  /** Text that is complete after this token; often empty inside a multi-byte character. */
  push(token: number): string
  /** What is left at the end, with U+FFFD for broken bytes. */
  flush(): string
}

/** What lists of models tell. */
export interface ModelSummary {
  readonly id: string
  /** The model this one is an adapter or another name of; `null` for a model of its own. */
  readonly parent: string | null
  readonly createdSeconds: number
  /** Changes with the weights. */
  readonly fingerprint: string
  readonly contextLength: number
}

/** A model under its public name: its words on one side, the backend that runs it on the other. */
export interface TextModel extends ModelSummary {
  /** The LoRA adapter that answers under this name; `null` is the model as it is. */
  readonly adapter: string | null
  readonly vocabSize: number
  /** Tokens that end a generation. */
  readonly stopTokens: readonly number[]
  /** The model's own taste, where it states one. */
  readonly defaults: Partial<
    Pick<SamplingParams, 'temperature' | 'topK' | 'topP' | 'minP' | 'repetitionPenalty'>
  >
  /** How the model was taught to call tools and to think. */
  readonly format: ChatFormat
  readonly backend: Backend

  /** @param special - whether the model's beginning-of-sequence token goes first and special tokens are recognised */
  encode(text: string, special: SpecialTokens, signal: AbortSignal): Promise<Int32Array>
  /** @throws ChatTemplateError if the model has no template or the template refuses the messages */
  renderChat(conversation: Conversation): string
  /** @param visibleTokens - texts of control tokens that are to be seen; the others leave no text. Default none. */
  decoder(visibleTokens?: readonly string[]): TextDecoder
  /** Whether the vocabulary has `text` as a control token, which is no text to tokenizer and grammars. */
  isControlToken(text: string): boolean
  /** The bytes one token stands for. */
  tokenBytes(token: number): Uint8Array
}

/** `prompt`: plain text, begins as the model expects. `template`: rendered by a chat template, which wrote them all. */
export type SpecialTokens = 'prompt' | 'template'
