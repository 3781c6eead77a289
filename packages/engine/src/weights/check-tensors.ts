import type { ModelConfig } from '@deos/domain'
import type { TensorType } from '../ggml/tensor-type.ts'
import { ModelFileError, UnsupportedModelError } from './errors.ts'
import { type Family, familyTensors, isLeftOut, mayBeAbsent } from './families/index.ts'
import type { TensorInfo } from './model-source.ts'

const integers: ReadonlySet<TensorType> = new Set(['I8', 'I32', 'I64'])

interface TensorCheck {
  /** File or folder, for messages. */
  readonly file: string
  readonly family: Family
  readonly config: ModelConfig
  /** By canonical name. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /** How files of this format spell a canonical name. */
  readonly nameInFile: ReadonlyMap<string, string>
}

/**
 * Compares the tensors that were found with those the family must have.
 *
 * @returns the tensors in the family's order
 * @throws ModelFileError naming the tensor that is missing, unknown or of another shape
 */
export function checkTensors(check: TensorCheck): ReadonlyMap<string, TensorInfo> {
  const { file, family, config, tensors, nameInFile } = check
  const rules = familyTensors(family, config)
  const unknown = [...tensors.values()].find(
    ({ name }) => !rules.has(name) && !isLeftOut(family, config, name),
  )
  if (unknown) {
    throw new ModelFileError(unknown.file, `is not part of the ${family.title} models this engine knows`, {
      tensor: unknown.name,
      hint: 'Use a plain model of this family.',
    })
  }
  const ordered = new Map<string, TensorInfo>()
  for (const [name, rule] of rules) {
    const shown = nameInFile.get(name) ?? name
    const tensor = tensors.get(name)
    if (!tensor) {
      if (mayBeAbsent(rule, config)) continue
      throw new ModelFileError(file, 'is missing', { tensor: shown })
    }
    const wanted = rule.shape(config)
    if (tensor.shape.length !== wanted.length || tensor.shape.some((extent, dim) => extent !== wanted[dim])) {
      const rows = (shape: readonly number[]) => `[${shape.toReversed().join(', ')}]`
      throw new ModelFileError(
        tensor.file,
        `has the shape ${rows(tensor.shape)}; the model's configuration asks for ${rows(wanted)}`,
        { tensor: shown },
      )
    }
    if (integers.has(tensor.type)) {
      throw new UnsupportedModelError(
        tensor.file,
        `tensor ${shown} holds integers`,
        'Use a model with real weights.',
      )
    }
    ordered.set(name, tensor)
  }
  return ordered
}
