import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ModelSource } from '@deos/engine/weights'

async function readText(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
}

interface NamedTemplate {
  readonly name?: string
  readonly template?: string
}

function defaultTemplate(value: unknown): string | null {
  if (typeof value === 'string') return value
  if (!Array.isArray(value)) return null
  const named = value as readonly NamedTemplate[]
  return (named.find(({ name }) => name === 'default') ?? named[0])?.template ?? null
}

/** How the model wants conversations written, in Jinja; `null` if it does not say. */
export async function readChatTemplate(source: ModelSource): Promise<string | null> {
  if (source.format === 'gguf') return defaultTemplate(source.metadata.get('tokenizer.chat_template'))
  const own = await readText(join(source.path, 'chat_template.jinja'))
  if (own !== null) return own
  const config = await readText(join(source.path, 'tokenizer_config.json'))
  if (config === null) return null
  return defaultTemplate((JSON.parse(config) as { chat_template?: unknown }).chat_template)
}

/** A template that tells roles apart belongs to a model that was taught to answer; a base model only continues. */
export const isInstruct = (template: string | null): boolean => template !== null && /\brole\b/.test(template)
