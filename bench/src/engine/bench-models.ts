import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { syntheticShapes, writeSyntheticModel } from '@deos/engine/testing'
import { convertModel, type ModelSource, openModel, targetType, type WeightType } from '@deos/engine/weights'
import { forgetCachedFile } from './page-cache.ts'

export interface BenchModelRequest {
  /** GGUF file or Hugging Face folder; `null` for random weights. */
  readonly model: string | null
  readonly quick: boolean
  readonly cacheDir: string
  progress(line: string): void
}

/** 125 M parameters: larger than caches even in four bits, small enough for a minute. */
const smallShape = {
  layers: 12,
  hiddenSize: 768,
  feedForwardSize: 2048,
  heads: 12,
  kvHeads: 4,
  headDim: 64,
  vocabSize: 32_000,
}

/** Opening reads samples of every tensor, in small pages: what is mapped next begins anew. */
async function openBenchModel(path: string): Promise<ModelSource> {
  const source = await openModel(path, { vocabulary: false })
  if (source.format === 'gguf') forgetCachedFile(path)
  return source
}

/** The GGUF file that both contenders open for one type: as given, converted, or made up; kept for the next run. */
export async function benchModel(request: BenchModelRequest, type: WeightType): Promise<ModelSource> {
  const { model, cacheDir } = request
  if (model === null) return openBenchModel(await syntheticModel(request, type))
  const source = await openBenchModel(model)
  const matrices = [...source.tensors.values()].filter(({ shape }) => shape.length > 1)
  if (source.format === 'gguf' && matrices.every((tensor) => tensor.type === targetType(tensor, type)))
    return source
  const output = join(cacheDir, `${source.fingerprint}-${type.toLowerCase()}.gguf`)
  if (!existsSync(output)) {
    request.progress(`converting ${model} to ${type}`)
    await convertModel({ source, type, output })
  }
  return openBenchModel(output)
}

/** The same for long prompts: made up, it is the small one even in full runs. */
export function longPromptModel(request: BenchModelRequest, type: WeightType): Promise<ModelSource> {
  return benchModel({ ...request, quick: true }, type)
}

async function syntheticModel(
  { quick, cacheDir, progress }: BenchModelRequest,
  type: WeightType,
): Promise<string> {
  const name = quick ? 'synthetic-125m' : 'synthetic-350m'
  const path = join(cacheDir, `${name}-${type.toLowerCase()}.gguf`)
  if (existsSync(path)) return path
  progress(`writing ${path}`)
  await writeSyntheticModel({ path, type, shape: quick ? smallShape : syntheticShapes['350m'] })
  return path
}
