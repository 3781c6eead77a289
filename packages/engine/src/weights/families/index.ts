import { UnsupportedModelError } from '../errors.ts'
import type { Family, HuggingFaceClass } from './family.ts'
import { llama } from './llama.ts'
import { qwen2 } from './qwen2.ts'
import { qwen3 } from './qwen3.ts'

export * from './family.ts'

/** Every model family whose files this engine reads. */
export const families: readonly Family[] = [llama, qwen2, qwen3]

/** @throws UnsupportedModelError naming the architecture and those that are supported */
export function familyOf(architecture: string, file: string): Family {
  const family = families.find((candidate) => candidate.architecture === architecture)
  if (family) return family
  throw unsupported(file, architecture)
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
