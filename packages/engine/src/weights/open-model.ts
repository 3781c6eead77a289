import { readdir, stat } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { checkTensors } from './check-tensors.ts'
import { ModelFileError, ModelNotFoundError, UnsupportedModelError } from './errors.ts'
import { fingerprint } from './fingerprint.ts'
import { parseGgufConfig } from './gguf-config.ts'
import { oneFilePerModel, readGgufParts } from './gguf-parts.ts'
import { missingWeightsHint, openHuggingFaceFolder } from './huggingface-folder.ts'
import type { ModelSource } from './model-source.ts'

export type { ModelSource, TensorInfo } from './model-source.ts'

export interface OpenModelOptions {
  /**
   * Keep the long lists in GGUF metadata: tokens, merges, scores. A process that does not tokenize saves tens of
   * megabytes without them. Default: true.
   */
  readonly vocabulary?: boolean
  /**
   * The model's fingerprint, known from where all of it was there: 64 hexadecimal digits, taken as they are. A copy that
   * holds only some layers lacks the bytes from which it is computed.
   */
  readonly fingerprint?: string
}

const fingerprintPattern = /^[0-9a-f]{64}$/

/** Longest list kept when the vocabulary is not. */
const shortList = 256

/**
 * Opens a model and checks everything that can be checked without reading its weights.
 *
 * @param path - a GGUF file or any part of a divided one, a Hugging Face folder, or a folder with exactly one model in GGUF
 * @throws ModelNotFoundError if there is nothing there that could be a model
 * @throws ModelFileError if a file is truncated or corrupt, naming file, tensor and reason
 * @throws UnsupportedModelError if the engine cannot run it
 */
export async function openModel(path: string, options: OpenModelOptions = {}): Promise<ModelSource> {
  if (options.fingerprint !== undefined && !fingerprintPattern.test(options.fingerprint)) {
    throw new RangeError('A fingerprint has 64 hexadecimal digits.')
  }
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null
    throw error
  })
  if (!found) throw new ModelNotFoundError(path, 'does not exist', 'Check the path of the model.')
  if (found.isDirectory()) return openFolder(path, options)
  if (!found.isFile()) throw new ModelNotFoundError(path, 'is neither a file nor a folder', 'Check the path.')
  refuseOtherFormats(path)
  return openGguf(path, options)
}

function refuseOtherFormats(path: string): void {
  const extension = extname(path)
  if (extension === '.safetensors' || extension === '.json') {
    throw new UnsupportedModelError(path, 'is one file of a Hugging Face folder', 'Give the folder instead.')
  }
  if (['.bin', '.pt', '.pth', '.ckpt'].includes(extension)) {
    throw new UnsupportedModelError(
      path,
      'is a PyTorch pickle, which can run code when loaded',
      'Convert the model to safetensors, and give its folder.',
    )
  }
}

async function openFolder(path: string, options: OpenModelOptions): Promise<ModelSource> {
  const files = (await readdir(path)).sort()
  const ggufs = oneFilePerModel(files.filter((file) => file.endsWith('.gguf')))
  const safetensors = files.some((file) => /\.safetensors(\.index\.json)?$/.test(file))
  if (safetensors) return openHuggingFaceFolder(path, options.fingerprint)
  if (ggufs.length === 1) return openGguf(join(path, ggufs[0]!), options)
  if (ggufs.length > 1) {
    const shown = ggufs.slice(0, 5).join(', ')
    throw new ModelNotFoundError(
      path,
      `holds ${ggufs.length} models in GGUF files (${shown})`,
      'Give the path of one of them.',
    )
  }
  throw new ModelNotFoundError(
    path,
    files.length === 0 ? 'is an empty folder' : 'holds no model weights',
    files.length === 0 ? 'Give a GGUF file or a Hugging Face folder.' : missingWeightsHint(files),
  )
}

async function openGguf(
  path: string,
  { vocabulary = true, fingerprint: known }: OpenModelOptions,
): Promise<ModelSource> {
  const { headers, tensors: stored } = await readGgufParts(path)
  const [first] = headers
  if (stored.size === 0) throw new ModelFileError(path, 'holds no tensors')
  const metadata = new Map<string, unknown>([...first.metadata].map(([key, { value }]) => [key, value]))
  const { config, family } = parseGgufConfig(first.path, metadata, stored)
  const tensors = checkTensors({
    file: first.path,
    family,
    config,
    tensors: family.older?.tensors(config, stored) ?? stored,
    nameInFile: new Map(),
  })
  if (!vocabulary) {
    for (const [key, value] of metadata) {
      const long = Array.isArray(value) ? value.length > shortList : key === 'tokenizer.huggingface.json'
      if (long) metadata.delete(key)
    }
  }
  return {
    path: first.path,
    format: 'gguf',
    config,
    tensors,
    fingerprint:
      known ??
      (await fingerprint({
        describe: '',
        headers: headers.map(({ path, dataOffset, sizeBytes }) => ({
          path,
          headerBytes: Math.min(dataOffset, sizeBytes),
          sizeBytes,
        })),
        // Where a tensor is only cut out of a stored one, that one counts.
        tensors: [...tensors.values()].some(({ parts }) => parts) ? stored.values() : tensors.values(),
      })),
    metadata,
  }
}
