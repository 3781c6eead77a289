import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { ModelConfig } from '@deos/domain'
import { checkTensors } from './check-tensors.ts'
import { ModelFileError, ModelNotFoundError } from './errors.ts'
import {
  type Family,
  familyTensors,
  huggingFaceLayerPrefix,
  layerPrefix,
  type TensorRule,
} from './families/index.ts'
import { isRecord } from './fields.ts'
import { fingerprint } from './fingerprint.ts'
import { parseHuggingFaceConfig } from './huggingface-config.ts'
import { readJsonFile } from './json-file.ts'
import type { ModelSource, TensorInfo } from './model-source.ts'
import { readSafetensors, type SafetensorsFile } from './safetensors.ts'

/** Buffers that old checkpoints carry along; they are computed, not learnt. */
const computed = /(\.rotary_emb\.inv_freq|\.attention\.(masked_)?bias)$/
const indexName = 'model.safetensors.index.json'

/**
 * Opens a Hugging Face folder: `config.json` with `model.safetensors`, or with `model.safetensors.index.json`
 * and its shards. Headers are read and checked, weights are not.
 *
 * @throws ModelNotFoundError, ModelFileError, UnsupportedModelError
 */
export async function openHuggingFaceFolder(path: string): Promise<ModelSource> {
  const configFile = join(path, 'config.json')
  const raw = await readJsonFile(configFile)
  if (!raw) throw new ModelNotFoundError(path, 'has no config.json', 'Give a complete Hugging Face folder.')
  const generation = await readJsonFile(join(path, 'generation_config.json'))
  const { config, family } = parseHuggingFaceConfig(configFile, raw, generation ?? {})
  const shards = await openShards(path)
  const tensors = canonicalTensors(path, config, family, shards)
  return {
    path,
    format: 'huggingface',
    config,
    tensors,
    fingerprint: await fingerprint({
      describe: JSON.stringify(raw),
      headers: shards.map((shard) => ({
        path: shard.path,
        headerBytes: shard.dataOffset,
        sizeBytes: shard.sizeBytes,
      })),
      tensors: tensors.values(),
    }),
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

function canonicalTensors(
  folder: string,
  config: ModelConfig,
  family: Family,
  shards: readonly SafetensorsFile[],
): ReadonlyMap<string, TensorInfo> {
  const rules = familyTensors(family, config)
  const canonical = canonicalNames(family, config)
  const found = new Map<string, TensorInfo>()
  for (const [name, tensor] of shards.flatMap((shard) => [...shard.tensors])) {
    const gguf = canonical.get(name)
    const rule = gguf === undefined ? undefined : rules.get(gguf)
    if (!rule || gguf === undefined) {
      if (computed.test(name)) continue
      throw new ModelFileError(tensor.file, `is not part of the ${family.title} models this engine knows`, {
        tensor: name,
        hint: 'Check that config.json belongs to these weights.',
      })
    }
    // Tied embeddings: some exports store the head again; Hugging Face ignores that copy too.
    if (rule.absent === 'when tied' && config.tiedEmbeddings) continue
    if (found.has(gguf)) throw new ModelFileError(tensor.file, 'is in two shards', { tensor: name })
    found.set(gguf, { ...tensor, name: gguf, ...permutation(rule, config) })
  }
  return checkTensors({ file: folder, family, config, tensors: found, nameInFile: inverse(canonical) })
}

function permutation(rule: TensorRule, config: ModelConfig): { permuteHeads?: number } {
  return rule.permute ? { permuteHeads: config[rule.permute] } : {}
}

function canonicalNames(family: Family, config: ModelConfig): Map<string, string> {
  const names = new Map<string, string>()
  for (const { gguf, huggingFace } of family.globals) if (huggingFace) names.set(huggingFace, gguf)
  for (let layer = 0; layer < config.layers; layer += 1) {
    for (const { gguf, huggingFace } of family.layer) {
      if (huggingFace) names.set(huggingFaceLayerPrefix(layer) + huggingFace, layerPrefix(layer) + gguf)
    }
  }
  return names
}

const inverse = (names: ReadonlyMap<string, string>): Map<string, string> =>
  new Map([...names].map(([from, to]) => [to, from]))
