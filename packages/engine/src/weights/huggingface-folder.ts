import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { ModelFileError, ModelNotFoundError } from './errors.ts'
import type { HuggingFaceClass } from './families/index.ts'
import { isRecord } from './fields.ts'
import { fingerprint } from './fingerprint.ts'
import { withFloat8Scales } from './float8.ts'
import { parseHuggingFaceConfig } from './huggingface-config.ts'
import { huggingFaceTensors } from './huggingface-tensors.ts'
import { readJsonFile } from './json-file.ts'
import type { ModelSource } from './model-source.ts'
import { readSafetensors, type SafetensorsFile, type SafetensorsTensor } from './safetensors.ts'

const indexName = 'model.safetensors.index.json'

/**
 * Opens a Hugging Face folder: `config.json` with `model.safetensors`, or with `model.safetensors.index.json`
 * and its shards. Headers are read and checked, weights are not.
 *
 * @param known - the fingerprint, if it need not be computed
 * @throws ModelNotFoundError, ModelFileError, UnsupportedModelError
 */
export async function openHuggingFaceFolder(path: string, known?: string): Promise<ModelSource> {
  const configFile = join(path, 'config.json')
  const raw = await readJsonFile(configFile)
  if (!raw) throw new ModelNotFoundError(path, 'has no config.json', 'Give a complete Hugging Face folder.')
  const generation = await readJsonFile(join(path, 'generation_config.json'))
  const { config, family, modelClass, float8 } = parseHuggingFaceConfig(configFile, raw, generation ?? {})
  const shards = await openShards(path)
  const stored = byName(shards, modelClass.text)
  const tensors = huggingFaceTensors(path, config, family, withFloat8Scales(stored, float8))
  return {
    path,
    format: 'huggingface',
    config,
    tensors,
    fingerprint:
      known ??
      (await fingerprint({
        describe: JSON.stringify(raw),
        headers: shards.map((shard) => ({
          path: shard.path,
          headerBytes: shard.dataOffset,
          sizeBytes: shard.sizeBytes,
        })),
        tensors: stored.values(),
      })),
    metadata: new Map(),
  }
}

async function openShards(folder: string): Promise<readonly SafetensorsFile[]> {
  const indexFile = join(folder, indexName)
  const index = await readJsonFile(indexFile)
  if (!index) return [await openShard(folder, 'model.safetensors', null)]
  const map = index.weight_map
  const entries = isRecord(map) ? Object.entries(map) : []
  if (entries.length === 0) throw new ModelFileError(indexFile, 'has no weight_map')
  const names = new Set<string>()
  for (const [tensor, name] of entries) {
    if (typeof name !== 'string' || basename(name) !== name || !name.endsWith('.safetensors')) {
      const shown = JSON.stringify(name).slice(0, 80)
      throw new ModelFileError(indexFile, `is placed in ${shown}, which is not a file beside the index`, {
        tensor,
      })
    }
    names.add(name)
  }
  const shards: SafetensorsFile[] = []
  for (const name of [...names].sort()) shards.push(await openShard(folder, name, indexFile))
  const byPath = new Map(shards.map((shard) => [basename(shard.path), shard]))
  for (const [tensor, name] of entries) {
    if (!byPath.get(name as string)?.tensors.has(tensor)) {
      throw new ModelFileError(indexFile, `should be in ${name}, but is not`, { tensor })
    }
  }
  return shards
}

async function openShard(folder: string, name: string, index: string | null): Promise<SafetensorsFile> {
  const present = await readdir(folder)
  if (present.includes(name)) return readSafetensors(join(folder, name))
  if (index) throw new ModelFileError(index, `names the shard ${name}, which is missing`)
  throw new ModelNotFoundError(folder, `has no ${name} and no ${indexName}`, missingWeightsHint(present))
}

/** What to do about a folder without safetensors. */
export function missingWeightsHint(files: readonly string[]): string {
  const pickled = files.find((file) => /\.(bin|pt|pth|ckpt)$/.test(file))
  return pickled
    ? `${pickled} is a PyTorch pickle, which can run code when loaded: convert the model to safetensors.`
    : 'Download the *.safetensors files of the model too.'
}

/** @param text - leaves only what is part of the model of text, under the names it has alone */
function byName(
  shards: readonly SafetensorsFile[],
  text: HuggingFaceClass['text'],
): ReadonlyMap<string, SafetensorsTensor> {
  const stored = new Map<string, SafetensorsTensor>()
  for (const [nameInFile, tensor] of shards.flatMap((shard) => [...shard.tensors])) {
    if (text?.others.test(nameInFile)) continue
    const name =
      text && nameInFile.startsWith(text.prefix) ? nameInFile.slice(text.prefix.length) : nameInFile
    if (stored.has(name)) throw new ModelFileError(tensor.file, 'is in two shards', { tensor: name })
    stored.set(name, tensor)
  }
  return stored
}
