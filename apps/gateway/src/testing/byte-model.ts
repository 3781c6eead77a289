import type { Backend } from '../inference/backend.ts'
import type { ChatFormat, FormatName } from '../inference/formats/chat-format.ts'
import { toolFormat } from '../inference/formats/index.ts'
import type { TextDecoder as StreamDecoder, TextModel } from '../inference/text-model.ts'

export const END = 256
export const BEGIN = 257

class ByteDecoder implements StreamDecoder {
  readonly #utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
  push(token: number): string {
    return token < 256 ? this.#utf8.decode(Uint8Array.of(token), { stream: true }) : ''
  }
  flush(): string {
    return this.#utf8.decode()
  }
}

/** Tokens of the byte model as text, control tokens left out. */
export function textOf(tokens: readonly number[]): string {
  const decoder = new ByteDecoder()
  return tokens.map((token) => decoder.push(token)).join('') + decoder.flush()
}

export const bytesOf = (text: string): number[] => Array.from(Buffer.from(text, 'utf8'))

/** A format whose template knows roles and nothing else. */
export const byteFormat = (name: FormatName, changes: Partial<ChatFormat> = {}): ChatFormat => ({
  tools: toolFormat(name),
  reasoning: null,
  abilities: {
    system: true,
    tools: false,
    calls: false,
    contentOfCalls: '',
    arguments: 'values',
    results: false,
  },
  ...changes,
})

/** A model whose tokens are bytes, so that a test can tell tokens from text by eye. */
export function byteModel(backend: Backend, overrides: Partial<TextModel> = {}): TextModel {
  return {
    id: 'bytes',
    parent: null,
    adapter: null,
    createdSeconds: 1_700_000_000,
    fingerprint: '0123456789abcdef',
    contextLength: 4096,
    vocabSize: 258,
    stopTokens: [END],
    defaults: {},
    format: byteFormat('hermes'),
    backend,
    async encode(text, special) {
      return Int32Array.from(special === 'prompt' ? [BEGIN, ...bytesOf(text)] : bytesOf(text))
    },
    renderChat: ({ messages }) => messages.map(({ role, content }) => `${role}:${content}\n`).join(''),
    decoder: () => new ByteDecoder(),
    isControlToken: () => false,
    tokenBytes: (token) => (token < 256 ? Uint8Array.of(token) : new Uint8Array()),
    ...overrides,
  }
}
