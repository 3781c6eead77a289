import { createReadStream, existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { kvBytesPerTokenPerLayer } from '@deos/domain'
import { syntheticShapes, writeSyntheticModel } from '@deos/engine/testing'
import {
  configMetadata,
  type GgufValue,
  openModel,
  type PlannedTensor,
  type TensorInfo,
  type WeightType,
  writeGguf,
} from '@deos/engine/weights'
import { BenchUsageError } from '../run-bench.ts'
import type { TokenIds } from './workload.ts'

export interface ServeModelRequest {
  /** GGUF file that both servers open; `null` for random weights. */
  readonly model: string | null
  /** Element type of the random weights. */
  readonly type: WeightType
  readonly quick: boolean
  /** Positions the bench needs. */
  readonly contextTokens: number
  readonly cacheDir: string
  progress(line: string): void
}

export interface ServeModel {
  readonly path: string
  /** Ids that are ordinary tokens. */
  readonly ids: TokenIds
  /** K and V of one token in F16, all layers. */
  readonly kvBytesPerToken: number
}

const syntheticContext = 8192
const vocabSize = 16_384
/** The one control token, which ends a text. */
const endToken = vocabSize - 1

/** The model that all servers open. @throws BenchUsageError if it cannot be both servers' model */
export async function serveModel(request: ServeModelRequest): Promise<ServeModel> {
  const path = request.model ?? (await syntheticModel(request))
  const { config, format } = await openModel(path, { vocabulary: false })
  if (format !== 'gguf') {
    throw new BenchUsageError(
      `${path} is not a GGUF file, which is what both servers read.`,
      `Make one: deos model convert ${path} --type Q8_0 -o model.gguf`,
    )
  }
  if (config.contextLength < request.contextTokens) {
    throw new BenchUsageError(
      `${path} has a context of ${config.contextLength} tokens; this bench needs ${request.contextTokens}.`,
      'Choose a model with a longer context.',
    )
  }
  return {
    path,
    // Bytes and control tokens lie at the ends of vocabularies.
    ids: { first: Math.floor(config.vocabSize * 0.1), end: Math.floor(config.vocabSize * 0.9) },
    kvBytesPerToken: config.layers * kvBytesPerTokenPerLayer(config, 2),
  }
}

/**
 * Random weights with a tokenizer, without which servers do not start. Every token is a few ASCII letters, so that
 * none waits for the rest of a character and each streams as an event of its own.
 */
async function syntheticModel({ quick, type, cacheDir, progress }: ServeModelRequest): Promise<string> {
  const shape = quick ? '15m' : '135m'
  const path = join(cacheDir, `serve-${shape}-${type.toLowerCase()}.gguf`)
  if (existsSync(path)) return path
  progress(`writing ${path}`)
  const bare = `${path}.${process.pid}.bare`
  try {
    await writeSyntheticModel({
      path: bare,
      type,
      shape: { ...syntheticShapes[shape], vocabSize },
      tiedEmbeddings: true,
      contextLength: syntheticContext,
    })
    const { config, tensors } = await openModel(bare, { vocabulary: false })
    await writeGguf({
      path,
      overwrite: true,
      metadata: [...configMetadata(config), ...tokenizerMetadata()],
      tensors: [...tensors.values()].map(copyOf),
    })
  } finally {
    rmSync(bare, { force: true })
  }
  return path
}

const copyOf = ({ name, type, shape, file, offset, sizeBytes }: TensorInfo): PlannedTensor => ({
  name,
  type,
  shape,
  data: () => createReadStream(file, { start: offset, end: offset + sizeBytes - 1 }),
})

function tokenizerMetadata(): readonly (readonly [string, GgufValue])[] {
  const tokens = vocabulary()
  const types = tokens.map((_, id) => (id === endToken ? 3 : 1))
  return [
    ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
    ['tokenizer.ggml.pre', { type: 'string', value: 'gpt-2' }],
    ['tokenizer.ggml.tokens', { type: 'array', elementType: 'string', value: tokens }],
    ['tokenizer.ggml.token_type', { type: 'array', elementType: 'int32', value: types }],
    ['tokenizer.ggml.merges', { type: 'array', elementType: 'string', value: ['Ġ a'] }],
    ['tokenizer.ggml.eos_token_id', { type: 'uint32', value: endToken }],
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: false }],
  ]
}

/** Byte-level texts: space and line feed, printable ASCII, made-up words after a space, the end token. */
export function vocabulary(): readonly string[] {
  const characters = Array.from({ length: 94 }, (_, index) => String.fromCharCode(0x21 + index))
  const bytes = ['Ġ', 'Ċ', ...characters]
  const words = Array.from({ length: vocabSize - bytes.length - 1 }, (_, index) => `Ġ${letters(index)}`)
  return [...bytes, ...words, '<|endoftext|>']
}

/** 0 is `a`, 25 `z`, 26 `aa`, as spreadsheets name columns. */
function letters(index: number): string {
  const rest = Math.floor(index / 26)
  const last = String.fromCharCode(0x61 + (index % 26))
  return rest === 0 ? last : letters(rest - 1) + last
}
