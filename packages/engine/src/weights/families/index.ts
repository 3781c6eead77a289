import { type LayerRange, layerCount, type ModelConfig } from '@deos/domain'
import { UnsupportedModelError } from '../errors.ts'
import { deepseek2 } from './deepseek2.ts'
import { type Family, familyTensors, type HuggingFaceClass, layerPrefix, mayBeAbsent } from './family.ts'
import { gemma } from './gemma.ts'
import { gemma2 } from './gemma2.ts'
import { gemma3 } from './gemma3.ts'
import { gptOss } from './gpt-oss.ts'
import { llama } from './llama.ts'
import { llama4 } from './llama4.ts'
import { phi3 } from './phi3.ts'
import { qwen2 } from './qwen2.ts'
import { qwen3 } from './qwen3.ts'
import { qwen3moe } from './qwen3moe.ts'

export * from './family.ts'

/** Every model family whose files this engine reads. */
export const families: readonly Family[] = [
  deepseek2,
  gemma,
  gemma2,
  gemma3,
  gptOss,
  llama,
  llama4,
  phi3,
  qwen2,
  qwen3,
  qwen3moe,
]

/** @throws UnsupportedModelError naming the architecture and those that are supported */
export function familyOf(architecture: string, file: string): Family {
  const family = families.find((candidate) => candidate.architecture === architecture)
  if (family) return family
  throw unsupported(file, architecture)
}

/** Names of the tensors that must be there for `layers`. */
export function requiredLayerTensors(config: ModelConfig, layers: LayerRange): readonly string[] {
  const rules = familyTensors(familyOf(config.architecture, config.name), config)
  const prefixes = Array.from({ length: layerCount(layers) }, (_, index) => layerPrefix(layers.first + index))
  return [...rules]
    .filter(
      ([name, rule]) => !mayBeAbsent(rule, config) && prefixes.some((prefix) => name.startsWith(prefix)),
    )
    .map(([name]) => name)
}

/**
 * @param name - an entry of `architectures`, or the `model_type`
 * @throws UnsupportedModelError naming the class and those that are supported
 */
export function familyOfClass(name: string, file: string): { family: Family; modelClass: HuggingFaceClass } {
  for (const family of families) {
    const modelClass = family.classes.find((entry) => entry.name === name || entry.modelType === name)
    if (modelClass) return { family, modelClass }
  }
  throw unsupported(file, name)
}

function unsupported(file: string, architecture: string): UnsupportedModelError {
  const supported = families.map(({ architecture: name, title }) => `${name} (${title})`).join(', ')
  return new UnsupportedModelError(
    file,
    `has the architecture "${architecture}", which this engine does not run`,
    `Supported: ${supported}.`,
  )
}
