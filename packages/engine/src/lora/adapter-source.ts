import { stat } from 'node:fs/promises'
import type { ModelConfig } from '@deos/domain'
import { familyOf, familyTensors, type TensorRule } from '../weights/families/index.ts'
import type { TensorInfo } from '../weights/model-source.ts'
import { AdapterError } from './errors.ts'
import { readGgufAdapter } from './gguf-adapter.ts'
import { readPeftAdapter } from './peft-adapter.ts'

/**
 * The low-rank change of one matrix, `scale · b · a` to be added to it.
 *
 * @see Hu et al. 2021 (arXiv:2106.09685)
 */
export interface AdapterModule {
  /** `[in, rank]`, fastest dim first. */
  readonly a: TensorInfo
  /** `[rank, out]`. */
  readonly b: TensorInfo
  readonly scale: number
}

/** An adapter on disk, opened and checked against its model but not read. */
export interface AdapterSource {
  readonly path: string
  /** By the name of the matrix without `.weight`, as in GGUF: `blk.0.attn_q`. */
  readonly modules: ReadonlyMap<string, AdapterModule>
}

/**
 * Opens a PEFT folder (`adapter_config.json`, `adapter_model.safetensors`) or a GGUF adapter of llama.cpp.
 *
 * @param config - the model it is to run with
 * @throws AdapterError if there is none, it holds something that is not run, or does not fit the model; ModelFileError
 *   if a file is damaged
 */
export async function openAdapter(path: string, config: ModelConfig): Promise<AdapterSource> {
  const rules = adaptableTensors(config)
  const read = (await isFolder(path)) ? readPeftAdapter : readGgufAdapter
  const modules = await read(path, config, rules)
  if (modules.size === 0) {
    throw new AdapterError(`The adapter ${path} changes no matrix.`, 'Give a LoRA adapter that was trained.')
  }
  for (const [name, module] of modules) checkShape(path, name, module, rules.get(name)!, config)
  return { path, modules }
}

/** The matrices that an adapter may change, by name without `.weight`: those of layers that tokens are multiplied with. */
function adaptableTensors(config: ModelConfig): ReadonlyMap<string, TensorRule> {
  const rules = familyTensors(familyOf(config.architecture, config.name), config)
  return new Map(
    [...rules]
      .filter(([name, rule]) => name.startsWith('blk.') && rule.shape(config).length === 2)
      .map(([name, rule]) => [name.replace(/\.weight$/, ''), rule]),
  )
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (cause) {
    throw new AdapterError(
      `There is no adapter at ${path}.`,
      'Give a PEFT folder or a GGUF file that this machine can read.',
      { cause },
    )
  }
}

function checkShape(
  path: string,
  name: string,
  { a, b }: AdapterModule,
  rule: TensorRule,
  config: ModelConfig,
): void {
  const [columns, rows] = rule.shape(config)
  const [aColumns, rank, ...aRest] = a.shape
  const [bRank, bRows, ...bRest] = b.shape
  const fits = aColumns === columns && bRows === rows && rank === bRank
  if (fits && aRest.length === 0 && bRest.length === 0) return
  throw new AdapterError(
    `The adapter ${path} changes ${name} by [${a.shape.join(', ')}] and [${b.shape.join(', ')}], but the matrix is [${columns}, ${rows}].`,
    'It was made for another model; give one that was trained on this one.',
  )
}
