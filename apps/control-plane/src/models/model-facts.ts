import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import type { ModelFile } from '@deos/api'
import { readCalibration } from '@deos/codec'
import { bytes, describeError, type ModelFootprint, tokens } from '@deos/domain'
import { describeModel, footprintOf, openModel, targetType, weightTypes } from '@deos/engine/weights'
import type { ModelShape } from './registered-model.ts'

/** What model files say of themselves. */
export interface ModelFacts {
  readonly shape: ModelShape
  /** By precision; `native` and every type that models are converted to. */
  readonly footprints: Readonly<Record<string, ModelFootprint>>
  readonly fingerprint: string
}

/** @throws ModelFileError, ModelNotFoundError, UnsupportedModelError */
export async function readFacts(path: string): Promise<ModelFacts> {
  const source = await openModel(path, { vocabulary: false })
  const { config, parameters, kvBytesPerToken } = describeModel(source)
  const matrices = [...source.tensors.values()].filter(({ shape }) => shape.length > 1)
  const footprints: Record<string, ModelFootprint> = {}
  for (const type of ['native', ...weightTypes] as const) {
    footprints[type] = footprintOf(source, type)
    await setImmediate()
  }
  return {
    shape: {
      architecture: config.architecture,
      parameters,
      layers: config.layers,
      contextTokens: tokens(config.contextLength),
      vocabulary: config.vocabSize,
      weightTypes: [...new Set(matrices.map((tensor) => targetType(tensor, 'native')))].sort(),
      kvBytesPerToken: bytes(kvBytesPerToken.f16),
    },
    footprints,
    fingerprint: source.fingerprint,
  }
}

/** Files that hold more are none: a calibration is read as a whole. */
const largestCalibrationBytes = 1 << 30

/** What a calibration beside a model is worth to it. */
export type CalibrationFacts = { readonly id: string } | { readonly problem: string }

/** @param fingerprint - of the model that it lies beside */
export async function readCalibrationFacts(path: string, fingerprint: string): Promise<CalibrationFacts> {
  try {
    const { size } = await stat(path)
    if (size > largestCalibrationBytes) return { problem: `it has ${size} bytes.` }
    const { id } = readCalibration(new Uint8Array(await readFile(path)), fingerprint)
    return { id }
  } catch (error) {
    return { problem: describeError(error) }
  }
}

/** Of a model: that of its only file, or of a list of its files. */
export function digestOfFiles(files: readonly ModelFile[]): string {
  const [only] = files
  if (files.length === 1 && only !== undefined) return only.digest
  const byName = files.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const list = byName.map(({ name, digest, sizeBytes }) => `${digest} ${sizeBytes} ${name}\n`).join('')
  return `sha256:${createHash('sha256').update(list).digest('hex')}`
}
