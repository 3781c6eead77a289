import { join } from 'node:path'
import type { ModelConfig } from '@deos/domain'
import { layerPrefix, type TensorRule } from '../weights/families/index.ts'
import { Fields, ranges } from '../weights/fields.ts'
import { readJsonFile } from '../weights/json-file.ts'
import type { TensorInfo } from '../weights/model-source.ts'
import { readSafetensors } from '../weights/safetensors.ts'
import type { AdapterModule } from './adapter-source.ts'
import { AdapterError } from './errors.ts'

/** Of a PEFT configuration what decides how strongly each matrix changes. */
interface PeftScaling {
  readonly alpha: number
  readonly isRankStabilised: boolean
  /** Regular expressions of module paths, and the alpha of modules that end with them. */
  readonly alphaPatterns: readonly (readonly [RegExp, number])[]
}

/** Models of text and images have the layers of their model of text inside it, before or after `model`. */
const layerPath = /^(?:language_model\.)?model\.(?:language_model\.)?layers\.(\d+)\.(.+)$/

/** Both matrices of a change, as they are found. */
interface Pair {
  readonly module: string
  a?: TensorInfo
  b?: TensorInfo
}

/** @throws AdapterError, ModelFileError */
export async function readPeftAdapter(
  folder: string,
  config: ModelConfig,
  rules: ReadonlyMap<string, TensorRule>,
): Promise<ReadonlyMap<string, AdapterModule>> {
  const scaling = await readScaling(join(folder, 'adapter_config.json'))
  const { tensors } = await readSafetensors(join(folder, 'adapter_model.safetensors'))
  const modules = new Map<string, AdapterModule>()
  for (const { module, a, b } of pairs(folder, tensors.values())) {
    if (!a || !b) {
      throw new AdapterError(
        `The adapter ${folder} has only one of the two matrices of ${module}.`,
        'The file is incomplete; download or save it again.',
      )
    }
    const name = canonicalName(folder, module, config, rules)
    const heads = { heads: config.heads, kvHeads: config.kvHeads }
    const { permute } = rules.get(name)!
    const rank = a.shape[1] ?? 0
    modules.set(name, {
      a,
      b: permute ? { ...b, permuteHeads: heads[permute] } : b,
      scale: alphaOf(scaling, module) / (scaling.isRankStabilised ? Math.sqrt(rank) : rank),
    })
  }
  return modules
}

async function readScaling(file: string): Promise<PeftScaling> {
  const raw = await readJsonFile(file)
  if (!raw) throw new AdapterError(`${file} is missing.`, 'Give the whole folder that PEFT saved.')
  const fields = new Fields(file, (key) => (Object.hasOwn(raw, key) ? raw[key] : null))
  const type = fields.string('peft_type')
  if (type !== 'LORA') throw unsupported(file, `is of the type ${type}`, 'Only LORA is run.')
  refuseVariants(file, fields)
  return {
    alpha: fields.number('lora_alpha', ranges.positive),
    isRankStabilised: fields.boolean('use_rslora', false),
    alphaPatterns: readPatterns(file, fields.raw('alpha_pattern')),
  }
}

/** What is beyond a product of two matrices beside a matrix. */
function refuseVariants(file: string, fields: Fields): void {
  const refuse = (reason: string) => {
    throw unsupported(file, reason, 'Merge it into the model, or train a plain LoRA adapter.')
  }
  for (const flag of ['use_dora', 'lora_bias', 'fan_in_fan_out']) {
    if (fields.boolean(flag, false)) refuse(`asks for ${flag}`)
  }
  const bias = fields.string('bias', 'none')
  if (bias !== 'none') refuse(`has trained biases (${bias})`)
  const saved = fields.raw('modules_to_save')
  if (Array.isArray(saved) && saved.length > 0) refuse(`replaces whole modules (${saved.join(', ')})`)
}

function readPatterns(file: string, raw: unknown): readonly (readonly [RegExp, number])[] {
  return Object.entries(raw ?? {}).map(([pattern, alpha]) => {
    if (typeof alpha !== 'number' || !(alpha > 0)) {
      throw unsupported(file, `gives ${pattern} the alpha ${String(alpha)}`, 'It must be a number above 0.')
    }
    try {
      return [new RegExp(`^(?:.*\\.)?(?:${pattern})$`), alpha] as const
    } catch (cause) {
      throw unsupported(file, `has the pattern ${pattern}, which is none`, 'Mend alpha_pattern.', cause)
    }
  })
}

const alphaOf = ({ alpha, alphaPatterns }: PeftScaling, module: string): number =>
  alphaPatterns.find(([pattern]) => pattern.test(module))?.[1] ?? alpha

/** Tensors by module path, `model.layers.0.self_attn.q_proj`. */
function pairs(folder: string, tensors: Iterable<TensorInfo>): Iterable<Pair> {
  const found = new Map<string, Pair>()
  for (const tensor of tensors) {
    const parts = /^(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.[^.]+)?\.weight$/.exec(tensor.name)
    if (!parts) {
      throw unsupported(
        folder,
        `holds ${tensor.name.slice(0, 120)}`,
        'Only LoRA matrices of attention and feed-forward layers are run.',
      )
    }
    const [, module, which] = parts as unknown as [string, string, 'A' | 'B']
    const pair = found.get(module) ?? { module }
    if (which === 'A') pair.a = tensor
    else pair.b = tensor
    found.set(module, pair)
  }
  return found.values()
}

function canonicalName(
  folder: string,
  module: string,
  config: ModelConfig,
  rules: ReadonlyMap<string, TensorRule>,
): string {
  const parts = layerPath.exec(module)
  const name = [...rules].find(
    ([gguf, { huggingFace }]) =>
      parts && gguf.startsWith(layerPrefix(Number(parts[1]))) && huggingFace === `${parts[2]}.weight`,
  )?.[0]
  if (name !== undefined) return name
  throw unsupported(
    folder,
    `changes ${module.slice(0, 120)}, which ${config.name} does not have as a matrix of its layers`,
    'Give an adapter for attention and feed-forward projections of this model.',
  )
}

const unsupported = (file: string, reason: string, hint: string, cause?: unknown): AdapterError =>
  new AdapterError(`The adapter ${file} ${reason}.`, hint, { cause })
