import { calibrationEnding, checkFileName } from '@deos/blobs'
import { oneFilePerModel } from '@deos/engine/weights'
import { ModelSourceError } from './errors.ts'

const indexName = 'model.safetensors.index.json'
const wholeName = 'model.safetensors'
const neededNames = ['config.json', 'tokenizer.json']
const besideNames = [
  'generation_config.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
]
/** In a folder that is a model; beside a GGUF file it has that file's name. */
const calibrationName = `calibration${calibrationEnding}`
const partName = /^(?<stem>.+)-\d{5}-of-(?<count>\d{5})\.gguf$/
const pickle = /\.(bin|pt|pth|ckpt|pkl)$/

/** Files that are there, of a folder or repository. */
export interface Offered {
  /** Paths within it. */
  readonly names: readonly string[]
  /** Text of a small one. */
  readonly read: (name: string) => Promise<string>
}

/**
 * Chooses the files that make up a model: a GGUF file with its parts, or weights in safetensors with configuration and
 * tokenizer. Pickles, which can run code when loaded, are never chosen. What was learnt of its KV comes along: `x.kv`
 * beside `x.gguf`, `calibration.kv` in a folder.
 *
 * @param wanted - a GGUF file; `null` takes what the folder is
 * @throws ModelSourceError saying what is missing, UnsafeFileNameError
 */
export async function filesOfModel(offered: Offered, wanted: string | null): Promise<readonly string[]> {
  const own = await chosen(offered, wanted)
  const calibration = calibrationOf(own)
  const names = offered.names.includes(calibration) ? [...own, calibration] : own
  for (const name of names) checkFileName(name)
  return names
}

function calibrationOf([first = '']: readonly string[]): string {
  if (!first.endsWith('.gguf')) return calibrationName
  const stem = partName.exec(first)?.groups?.stem ?? first.slice(0, -'.gguf'.length)
  return stem + calibrationEnding
}

async function chosen({ names, read }: Offered, wanted: string | null): Promise<readonly string[]> {
  if (wanted !== null) return withParts(names, named(names, wanted))
  if (names.includes(indexName)) return folder(names, [indexName, ...shardsOf(await read(indexName))])
  if (names.includes(wholeName)) return folder(names, [wholeName])
  const ggufs = oneFilePerModel(names.filter((name) => name.endsWith('.gguf')))
  const [first] = ggufs
  if (ggufs.length === 1 && first !== undefined) return withParts(names, first)
  if (ggufs.length > 1) {
    const shown = ggufs.slice(0, 8).join(', ')
    throw new ModelSourceError(
      `There are ${ggufs.length} models in GGUF files: ${shown}.`,
      'Name one of them as the file.',
    )
  }
  const pickled = names.find((name) => pickle.test(name))
  if (pickled !== undefined) {
    throw new ModelSourceError(
      `There are only PyTorch pickles, such as ${pickled}, which can run code when loaded.`,
      'Convert the model to safetensors or GGUF.',
    )
  }
  throw new ModelSourceError(
    `There are no weights among ${names.length} files.`,
    `Give a GGUF file, or a folder with ${wholeName} or ${indexName}.`,
  )
}

function named(names: readonly string[], wanted: string): string {
  if (!wanted.endsWith('.gguf')) {
    throw new ModelSourceError(
      `${wanted} is not a GGUF file.`,
      'Name a GGUF file, or none to take a folder of safetensors.',
    )
  }
  if (names.includes(wanted)) return wanted
  throw new ModelSourceError(`There is no ${wanted}.`, 'Check the name of the file, and the revision.')
}

function withParts(names: readonly string[], name: string): readonly string[] {
  const { stem, count } = partName.exec(name)?.groups ?? {}
  if (stem === undefined || count === undefined) return [name]
  const parts = Array.from(
    { length: Number(count) },
    (_, index) => `${stem}-${String(index + 1).padStart(5, '0')}-of-${count}.gguf`,
  )
  const missing = parts.find((part) => !names.includes(part))
  if (missing === undefined) return parts
  throw new ModelSourceError(
    `${missing} is missing, one of ${parts.length} parts.`,
    'Put all parts into one folder.',
  )
}

function folder(names: readonly string[], weights: readonly string[]): readonly string[] {
  const missing = [...neededNames, ...weights].find((name) => !names.includes(name))
  if (missing !== undefined) {
    throw new ModelSourceError(
      `There is no ${missing}.`,
      'Give a complete Hugging Face folder, tokenizer included.',
    )
  }
  return [...neededNames, ...besideNames.filter((name) => names.includes(name)), ...weights]
}

function shardsOf(text: string): readonly string[] {
  const refuse = () => new ModelSourceError(`${indexName} has no proper weight_map.`, 'Get the model again.')
  let index: unknown
  try {
    index = JSON.parse(text)
  } catch {
    throw refuse()
  }
  const map = typeof index === 'object' && index !== null && 'weight_map' in index ? index.weight_map : null
  const shards = typeof map === 'object' && map !== null ? [...new Set(Object.values(map))] : []
  const proper = shards.every((name) => typeof name === 'string' && /^[^/\\]+\.safetensors$/.test(name))
  if (shards.length === 0 || !proper) throw refuse()
  return (shards as string[]).sort()
}

/** Models are laid out flat: what folder of a repository a GGUF file lay in does not matter. */
export const nameInModel = (name: string): string => name.slice(name.lastIndexOf('/') + 1)
