/**
 * Text to tokens and back: vocabularies from Hugging Face folders and GGUF files, streaming detokenisation, stop
 * strings, chat templates. Free of native code. Start at {@link loadTokenizer}; a process with an event loop to keep
 * free starts at {@link TokenizerPool}.
 */
export type { ChatMessage, ContentPart } from './chat-message.ts'
export {
  ChatTemplate,
  type ChatTemplateOptions,
  type Conversation,
  MAX_TEMPLATE_LENGTH,
  PLAIN_TEMPLATE,
} from './chat-template.ts'
export type { TokenizerDefinition } from './definition.ts'
export * from './errors.ts'
export { loadTokenizer, readTokenizerDefinition, type TokenizerSource } from './load.ts'
export { TokenizerPool, type TokenizerPoolOptions } from './pool.ts'
export { type StopResult, StopStrings } from './stop-strings.ts'
export { type DetokenizerOptions, StreamingDetokenizer } from './streaming-detokenizer.ts'
export { type DecodeOptions, type EncodeOptions, MAX_TEXT_LENGTH, Tokenizer } from './tokenizer.ts'
