import { stat } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import { DomainError, describeError } from '@deos/domain'
import { openModel } from '@deos/engine/weights'
import { type ModelShape, shapeFromHuggingFace, shapeOfConfig } from '@deos/planner'
import { PlanFile, PlanFileError } from './plan-file.ts'

/**
 * The shape of a model from a `config.json`, a folder with one, or a GGUF file; of weights only the head is read.
 *
 * @throws PlanFileError if it is none of them
 */
export async function readModelShape(path: string): Promise<ModelShape> {
  if (extname(path) === '.gguf') {
    const { config } = await openModel(path, { vocabulary: false })
    return shapeOfConfig(config)
  }
  const found = await stat(path).catch((cause: unknown) => {
    throw new PlanFileError(
      path,
      null,
      '',
      describeError(cause),
      'Give a config.json, its folder, or a GGUF file.',
    )
  })
  const config = found.isDirectory() ? join(path, 'config.json') : path
  const file = await PlanFile.read(config)
  const name =
    basename(config) === 'config.json' ? basename(dirname(config)) : basename(config, extname(config))
  try {
    return shapeFromHuggingFace(file.value, name)
  } catch (error) {
    if (!(error instanceof DomainError)) throw error
    const [, field] = /^(\w+) is /.exec(error.message) ?? []
    throw file.error(field === undefined ? [] : [field], error.message, error.hint)
  }
}
