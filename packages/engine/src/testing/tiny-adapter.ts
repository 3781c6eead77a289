import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ModelConfig, seededRandom } from '@deos/domain'
import { familyOf, familyTensors, huggingFaceName } from '../weights/families/index.ts'
import { type WritableTensor, writeSafetensors } from './safetensors-writer.ts'

export interface TinyAdapterOptions {
  /** Folder to write; made if missing. */
  readonly directory: string
  /** The model it is for. */
  readonly config: ModelConfig
  readonly seed?: number
  /** Default: 4. */
  readonly rank?: number
  /** Default: twice the rank. */
  readonly alpha?: number
  /** Last parts of the paths of modules to change; default: all projections of attention and feed-forward layers. */
  readonly modules?: readonly string[]
  /** More keys of `adapter_config.json`. */
  readonly settings?: Readonly<Record<string, unknown>>
}

const projections = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']

/** Writes a LoRA adapter with seeded random weights as PEFT saves one, strong enough to change every greedy text. */
export async function writeTinyAdapter(options: TinyAdapterOptions): Promise<void> {
  const { directory, config, seed = 1, rank = 4, alpha = 2 * rank, modules = projections } = options
  await mkdir(directory, { recursive: true })
  const settings = {
    ...{ peft_type: 'LORA', r: rank, lora_alpha: alpha, target_modules: modules, bias: 'none' },
    ...{ use_rslora: false, use_dora: false, fan_in_fan_out: false, modules_to_save: null },
    ...options.settings,
  }
  await writeFile(join(directory, 'adapter_config.json'), `${JSON.stringify(settings, null, 2)}\n`)
  const random = seededRandom(seed)
  const values = (shape: readonly [number, number], deviation: number): Uint8Array => {
    const value = () => deviation * Math.sqrt(3) * (2 * random.next() - 1)
    return new Uint8Array(Float32Array.from({ length: shape[0] * shape[1] }, value).buffer)
  }
  const tensors: WritableTensor[] = []
  for (const [gguf, { huggingFace, shape }] of familyTensors(
    familyOf(config.architecture, config.name),
    config,
  )) {
    const module = huggingFace?.replace(/\.weight$/, '')
    if (!module || !modules.some((name) => module.endsWith(`.${name}`))) continue
    const [columns, rows] = shape(config) as [number, number]
    const path = `base_model.model.${huggingFaceName(gguf, module)}`
    const [a, b] = [[rank, columns] as const, [rows, rank] as const]
    tensors.push({
      name: `${path}.lora_A.weight`,
      dtype: 'F32',
      shape: a,
      data: values(a, 1 / Math.sqrt(columns)),
    })
    tensors.push({
      name: `${path}.lora_B.weight`,
      dtype: 'F32',
      shape: b,
      data: values(b, 0.2 / Math.sqrt(rank)),
    })
  }
  await writeSafetensors(join(directory, 'adapter_model.safetensors'), tensors)
}
