import { basename, extname } from 'node:path'
import { UsageError } from '../cli-error.ts'

/** The name under which a model is served: its file or folder, without `.gguf`. */
export function modelIdOf(path: string): string {
  const name = basename(path)
  return extname(name) === '.gguf' ? name.slice(0, -'.gguf'.length) : name
}

/** @throws UsageError for a name that cannot stand in a URL or a log line */
export function checkModelId(id: string): string {
  if (/^[\w][\w.:@+/-]{0,127}$/.test(id)) return id
  throw new UsageError(
    `"${id}" is not a name for a model.`,
    'Use up to 128 letters, digits, and . _ : @ + / - with --name.',
  )
}
