import { readFile } from 'node:fs/promises'
import { ModelFileError } from './errors.ts'
import { isRecord } from './fields.ts'

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT'

/**
 * @returns the object in a JSON file, `null` if there is no such file
 * @throws ModelFileError if the file is no JSON object
 */
export async function readJsonFile(path: string): Promise<Record<string, unknown> | null> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new ModelFileError(path, `is not valid JSON: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    })
  }
  if (isRecord(value)) return value
  throw new ModelFileError(path, 'is not a JSON object')
}
