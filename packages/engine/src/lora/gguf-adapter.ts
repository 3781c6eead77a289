import type { ModelConfig } from '@deos/domain'
import type { TensorRule } from '../weights/families/index.ts'
import { readGgufHeader } from '../weights/gguf-reader.ts'
import type { GgufValue } from '../weights/gguf-values.ts'
import type { TensorInfo } from '../weights/model-source.ts'
import type { AdapterModule } from './adapter-source.ts'
import { AdapterError } from './errors.ts'

/** @throws AdapterError, ModelFileError */
export async function readGgufAdapter(
  path: string,
  config: ModelConfig,
  rules: ReadonlyMap<string, TensorRule>,
): Promise<ReadonlyMap<string, AdapterModule>> {
  const { metadata, tensors } = await readGgufHeader(path)
  const alpha = readAlpha(path, metadata, config)
  const pairs = new Map<string, { a?: TensorInfo; b?: TensorInfo }>()
  for (const tensor of tensors.values()) {
    const parts = /^(.+)\.weight\.lora_([ab])$/.exec(tensor.name)
    if (!parts || !rules.has(parts[1]!)) {
      throw new AdapterError(
        `The adapter ${path} changes ${tensor.name.slice(0, 120)}, which ${config.name} does not have as a matrix of its layers.`,
        'Give an adapter for attention and feed-forward projections of this model.',
      )
    }
    const [, name, which] = parts as unknown as [string, string, 'a' | 'b']
    pairs.set(name, { ...pairs.get(name), [which]: tensor })
  }
  const modules = new Map<string, AdapterModule>()
  for (const [name, { a, b }] of pairs) {
    if (!a || !b) {
      throw new AdapterError(
        `The adapter ${path} has only one of the two matrices of ${name}.`,
        'The file is incomplete; download or convert it again.',
      )
    }
    // Without an alpha the product is added as it is.
    modules.set(name, { a, b, scale: alpha === 0 ? 1 : alpha / (b.shape[0] ?? 1) })
  }
  return modules
}

function readAlpha(path: string, metadata: ReadonlyMap<string, GgufValue>, config: ModelConfig): number {
  const value = (key: string) => metadata.get(key)?.value
  if (value('general.type') !== 'adapter' || value('adapter.type') !== 'lora') {
    throw new AdapterError(
      `${path} is no LoRA adapter: general.type is ${String(value('general.type') ?? 'missing')} and adapter.type ${String(value('adapter.type') ?? 'missing')}.`,
      "Give a file made by llama.cpp's convert_lora_to_gguf.py, or the PEFT folder itself.",
    )
  }
  if (value('general.architecture') !== config.architecture) {
    throw new AdapterError(
      `The adapter ${path} is for models of the family ${String(value('general.architecture'))}, and ${config.name} is of ${config.architecture}.`,
      'Give an adapter that was trained on this model.',
    )
  }
  if (metadata.has('adapter.alora.invocation_tokens')) {
    throw new AdapterError(
      `The adapter ${path} becomes active only after certain tokens.`,
      'Only adapters for whole texts are run.',
    )
  }
  const alpha = value('adapter.lora.alpha') ?? 0
  if (typeof alpha === 'number' && alpha >= 0) return alpha
  throw new AdapterError(
    `The adapter ${path} has the alpha ${String(alpha)}.`,
    'adapter.lora.alpha must be a number from 0 on.',
  )
}
