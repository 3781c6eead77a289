import { readdir, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { DomainError, formatLayers, type LayerRange } from '@deos/domain'
import { type TensorType, tensorBytes } from '../ggml/tensor-type.ts'
import { type ConversionProgress, planTensor, ropeFactorTensors } from './convert-model.ts'
import { layerPrefix } from './families/index.ts'
import { readGgufHeader } from './gguf-reader.ts'
import { string } from './gguf-values.ts'
import { type PlannedTensor, tensorAlignment, writeGguf } from './gguf-writer.ts'
import type { ModelSource, TensorInfo } from './model-source.ts'
import { ropeFactorNames } from './rope-factors.ts'
import { targetType } from './type-policy.ts'

/** Changes when converted tensors would come out different, so that old caches are not used. */
const cacheVersion = 'v1'
const fingerprintKey = 'deos.source_fingerprint'
const staleTemporaryMs = 60 * 60 * 1000

export interface StageWeightsRequest {
  readonly source: ModelSource
  readonly layers: LayerRange
  /** The stage turns token ids into hidden states. */
  readonly embedding: boolean
  /** The stage turns hidden states into logits. */
  readonly head: boolean
  /** What matrices are stored as; `native` keeps each as it is in the source. */
  readonly type: TensorType | 'native'
  /** Shared by all workers of a machine. */
  readonly cacheDir: string
  readonly onProgress?: (progress: ConversionProgress) => void
  readonly signal?: AbortSignal
}

/** A group of tensors that share one cache file. */
export interface Unit {
  readonly file: string
  readonly tensors: readonly (TensorInfo | PlannedTensor)[]
}

/**
 * Finds or makes the weights of one stage in files that can be mapped and used in place: canonical row order,
 * the type asked for (vectors F32), offsets multiples of 32. What the source already has in that form is used
 * there; the rest is converted once per machine into `<cacheDir>/<fingerprint>/<type>/`. Any number of processes
 * may ask at once: a file appears only when complete, and one that no longer fits is made anew.
 *
 * @returns exactly the stage's tensors: its layers, `token_embd.weight` for embedding or a tied head,
 *   `output_norm.weight` and `output.weight` for the head, factors of rotary frequencies where the model has them
 * @throws RangeError if the layers are not in the model
 * @throws ModelFileError, ModelWriteError; the signal's reason when aborted
 */
export async function resolveStageWeights(request: StageWeightsRequest): Promise<readonly TensorInfo[]> {
  const units = planUnits(request)
  const inPlace = units.flatMap(({ tensors }) => tensors.filter((tensor) => isInPlace(tensor, request.type)))
  const resolved = [...(inPlace as TensorInfo[])]
  const progress = trackProgress(request, units)
  for (const { file, tensors } of units) {
    const converted = tensors.filter((tensor) => !isInPlace(tensor, request.type))
    if (converted.length > 0) resolved.push(...(await cachedUnit(request, file, converted, progress)))
  }
  return resolved
}

/**
 * All tensors of a stage, in groups.
 *
 * @throws RangeError if the layers are not in the model
 */
export function planUnits({
  source,
  layers,
  embedding,
  head,
}: Pick<StageWeightsRequest, 'source' | 'layers' | 'embedding' | 'head'>): Unit[] {
  const { config, tensors } = source
  if (layers.first < 0 || layers.end > config.layers || layers.first > layers.end) {
    throw new RangeError(`Layers ${formatLayers(layers)} are not in a model of ${config.layers}.`)
  }
  const pick = (...names: string[]) =>
    names.map((name) => tensors.get(name)).filter((tensor) => tensor !== undefined)
  const tiedHead = head && config.tiedEmbeddings
  const stored = pick(...ropeFactorNames)
  const factors = stored.length > 0 ? stored : ropeFactorTensors(config)
  const units: Unit[] = [
    { file: 'rope', tensors: factors },
    { file: 'embedding', tensors: embedding || tiedHead ? pick('token_embd.weight') : [] },
    { file: 'head', tensors: head ? pick('output_norm.weight', 'output.weight') : [] },
  ]
  for (let layer = layers.first; layer < layers.end; layer += 1) {
    const own = [...tensors.values()].filter(({ name }) => name.startsWith(layerPrefix(layer)))
    units.push({ file: `layer-${String(layer).padStart(4, '0')}`, tensors: own })
  }
  return units
}

export const isStored = (tensor: TensorInfo | PlannedTensor): tensor is TensorInfo => 'offset' in tensor

function isInPlace(tensor: TensorInfo | PlannedTensor, type: TensorType | 'native'): boolean {
  return (
    isStored(tensor) &&
    tensor.permuteHeads === undefined &&
    tensor.addend === undefined &&
    tensor.parts === undefined &&
    tensor.offset % tensorAlignment === 0 &&
    tensor.type === targetType(tensor, type)
  )
}

type Track = (bytes: number, tensor: string) => void

function trackProgress({ type, onProgress }: StageWeightsRequest, units: readonly Unit[]): Track {
  const totalBytes = units
    .flatMap(({ tensors }) => tensors.filter((tensor) => !isInPlace(tensor, type)))
    .reduce((sum, tensor) => sum + tensorBytes(targetType(tensor, type), tensor.shape), 0)
  let doneBytes = 0
  return (bytes, tensor) => {
    doneBytes += bytes
    onProgress?.({ tensor, doneBytes, totalBytes })
  }
}

async function cachedUnit(
  request: StageWeightsRequest,
  unit: string,
  tensors: readonly (TensorInfo | PlannedTensor)[],
  track: Track,
): Promise<readonly TensorInfo[]> {
  const { source, type, signal } = request
  const path = join(request.cacheDir, `${cacheVersion}-${source.fingerprint}`, type, `${unit}.gguf`)
  const planned = tensors.map((tensor) => (isStored(tensor) ? planTensor(tensor, type, signal) : tensor))
  const present = await readCached(path, source.fingerprint, planned)
  if (present) {
    for (const { name, sizeBytes } of present) track(sizeBytes, name)
    return present
  }
  await removeStaleTemporaries(path)
  try {
    await writeGguf({
      path,
      overwrite: true,
      metadata: [
        ['general.architecture', string(source.config.architecture)],
        [fingerprintKey, string(source.fingerprint)],
      ],
      tensors: planned,
      signal,
      onBytes: (bytes, tensor) => track(bytes, tensor.name),
    })
  } catch (error) {
    // Some systems refuse to replace a file another process has mapped: then that process made the same one.
    const theirs = error instanceof DomainError ? await readCached(path, source.fingerprint, planned) : null
    if (theirs) return theirs
    throw error
  }
  const written = await readCached(path, source.fingerprint, planned)
  if (!written) throw new Error(`${path} does not hold what was just written.`)
  return written
}

/** @returns the tensors in a cache file, or `null` if it is absent, damaged or holds something else */
async function readCached(
  path: string,
  fingerprint: string,
  planned: readonly PlannedTensor[],
): Promise<readonly TensorInfo[] | null> {
  if (!(await stat(path).catch(() => null))) return null
  try {
    const { metadata, tensors } = await readGgufHeader(path)
    if (metadata.get(fingerprintKey)?.value !== fingerprint || tensors.size !== planned.length) return null
    const found = planned.map(({ name, type, shape }) => {
      const tensor = tensors.get(name)
      const same = tensor?.type === type && tensor.shape.join() === shape.join()
      return same ? tensor : null
    })
    return found.every((tensor) => tensor !== null) ? found : null
  } catch (error) {
    if (error instanceof DomainError) return null
    throw error
  }
}

/** Leftovers of processes that were killed while writing this file. */
async function removeStaleTemporaries(path: string): Promise<void> {
  const names = await readdir(dirname(path)).catch(() => [])
  for (const name of names) {
    if (!name.startsWith(`${basename(path)}.`) || !name.endsWith('.tmp')) continue
    const temporary = join(dirname(path), name)
    const found = await stat(temporary).catch(() => null)
    if (found && Date.now() - found.mtimeMs > staleTemporaryMs) await rm(temporary, { force: true })
  }
}
