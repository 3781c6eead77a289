import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describeError, type SamplingParams } from '@deos/domain'
import {
  ChatTemplate,
  readTokenizerDefinition,
  StreamingDetokenizer,
  TextTooLongError,
  TokenizerBusyError,
  TokenizerPool,
} from '@deos/engine/tokenizer'
import { type ModelSource, openModel } from '@deos/engine/weights/open-model'
import { unixSeconds } from '@deos/service'
import type { Backend } from './backend.ts'
import { PromptTooLongError, QueueFullError } from './errors.ts'
import type { FormatName } from './formats/chat-format.ts'
import { detectFormat } from './formats/index.ts'
import type { TextModel } from './text-model.ts'

export interface ServedModelOptions {
  /** GGUF file or Hugging Face folder; its weights are not read. */
  readonly path: string
  /** Public name; `null` takes the one the model states. */
  readonly id: string | null
  /** Of a copy without weights, from which it cannot be computed; `null` reads it from the files. */
  readonly fingerprint?: string | null
  /** How the model calls tools; `null` reads it from the chat template. */
  readonly format: FormatName | null
  /** The built entry of the tokenizer's thread; `null` tokenizes long texts on the event loop. */
  readonly tokenizerThread: URL | null
}

/** A text model read from disk, without its backend. */
export interface ServedModel {
  readonly id: string
  /** Changes with the weights: the ring must hold the same. */
  readonly fingerprint: string
  withBackend(backend: Backend): TextModel
  /** Ends the tokenizer's thread. */
  stop(): Promise<void>
}

type Defaults = TextModel['defaults']

/** How a field of a model's own sampling advice is called in `generation_config.json` and after `general.sampling.` */
const adviceNames: Readonly<Record<keyof Defaults, readonly [huggingFace: string, gguf: string]>> = {
  temperature: ['temperature', 'temp'],
  topK: ['top_k', 'top_k'],
  topP: ['top_p', 'top_p'],
  minP: ['min_p', 'min_p'],
  repetitionPenalty: ['repetition_penalty', 'penalty_repeat'],
}

const inRange: Readonly<Record<keyof Defaults, (value: number) => boolean>> = {
  temperature: (value) => value >= 0 && value <= 2,
  topK: (value) => Number.isInteger(value) && value >= 0,
  topP: (value) => value > 0 && value <= 1,
  minP: (value) => value >= 0 && value <= 1,
  repetitionPenalty: (value) => value > 0,
}

/** Picks the advice that makes sense; what does not is left to the usual defaults. */
function readAdvice(read: (names: readonly [string, string]) => unknown): Defaults {
  const fields = Object.keys(adviceNames) as (keyof Defaults)[]
  const advice: Partial<Record<keyof Defaults, SamplingParams['temperature']>> = {}
  for (const field of fields) {
    const value = read(adviceNames[field])
    if (typeof value === 'number' && inRange[field](value)) advice[field] = value
  }
  return advice
}

async function samplingAdvice(source: ModelSource): Promise<Defaults> {
  if (source.format === 'gguf')
    return readAdvice(([, name]) => source.metadata.get(`general.sampling.${name}`))
  let config: Record<string, unknown>
  try {
    config = JSON.parse(await readFile(join(source.path, 'generation_config.json'), 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw error
  }
  // A model that was not sampled from when its advice was written gives none.
  return config.do_sample === false ? {} : readAdvice(([name]) => config[name])
}

/**
 * Reads a model's words: tokenizer, chat template, limits. Loads no weights.
 *
 * @throws ModelNotFoundError, ModelFileError, UnsupportedModelError or ChatTemplateError, naming file and reason
 */
export async function openServedModel(options: ServedModelOptions): Promise<ServedModel> {
  const { fingerprint = null } = options
  const source = await openModel(options.path, fingerprint === null ? {} : { fingerprint })
  const definition = await readTokenizerDefinition(source)
  const pool = new TokenizerPool(definition, { threadEntry: options.tokenizerThread })
  const { tokenizer } = pool
  const template = new ChatTemplate({
    template: definition.chatTemplate,
    toolTemplate: definition.toolChatTemplate,
    bosToken: definition.bosToken,
    eosToken: definition.eosToken,
    now: () => new Date(),
  })
  const { contextLength, vocabSize, name } = source.config
  const defaults = await samplingAdvice(source)
  const createdSeconds = unixSeconds()

  const encode: TextModel['encode'] = async (text, special, signal) => {
    // Known without tokenizing, which for megabytes takes a while.
    const fewestTokens = Math.ceil(Buffer.byteLength(text) / tokenizer.longestTokenBytes)
    if (fewestTokens > contextLength) throw PromptTooLongError.of(fewestTokens, contextLength)
    const options = special === 'prompt' ? { addSpecial: true } : { parseSpecial: true }
    try {
      const tokens = await pool.encode(text, options, signal)
      const start = tokenizer.bosToken ?? tokenizer.eosToken
      return tokens.length === 0 && start !== null ? Int32Array.of(start) : tokens
    } catch (error) {
      if (error instanceof TokenizerBusyError) throw new QueueFullError(describeError(error), 1000)
      if (error instanceof TextTooLongError) throw new PromptTooLongError(error.message)
      throw error
    }
  }

  const controlTokens = new Set(
    Array.from({ length: tokenizer.vocabSize }, (_, id) => id)
      .filter((id) => tokenizer.isSpecial(id))
      .map((id) => tokenizer.tokenText(id)),
  )
  const format = detectFormat(
    {
      text: `${definition.chatTemplate ?? ''}${definition.toolChatTemplate ?? ''}`,
      render: (conversation) => template.render(conversation),
    },
    options.format,
  )
  const id = options.id ?? name
  const words: Omit<TextModel, 'backend'> = {
    id,
    parent: null,
    adapter: null,
    createdSeconds,
    fingerprint: source.fingerprint,
    contextLength,
    vocabSize,
    stopTokens: tokenizer.stopTokens,
    defaults,
    format,
    encode,
    renderChat: (conversation) => template.render(conversation),
    decoder: (visible = []) => new StreamingDetokenizer(tokenizer, { visible }),
    isControlToken: (text) => controlTokens.has(text),
    tokenBytes: (token) => tokenizer.tokenBytes(token),
  }
  return {
    id,
    fingerprint: source.fingerprint,
    withBackend: (backend) => ({ ...words, backend }),
    stop: () => pool.stop(),
  }
}
