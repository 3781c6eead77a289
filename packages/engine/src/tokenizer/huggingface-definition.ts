import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ModelFileError } from '../weights/errors.ts'
import { isRecord } from '../weights/fields.ts'
import { readJsonFile } from '../weights/json-file.ts'
import type { TokenizerDefinition } from './definition.ts'

/**
 * Tokenizer of a Hugging Face folder: `tokenizer.json`, and beside it, where present, `tokenizer_config.json`,
 * `special_tokens_map.json`, `generation_config.json` and `chat_template.jinja` (which then is the template).
 *
 * @param eosTokens - stop tokens already known from `config.json`
 * @throws ModelFileError if a file is damaged or `tokenizer.json` is missing
 */
export async function readHuggingFaceDefinition(
  folder: string,
  eosTokens: readonly number[],
): Promise<TokenizerDefinition> {
  const file = join(folder, 'tokenizer.json')
  const [json, config, map, generation, jinja] = await Promise.all([
    readJsonFile(file),
    readJsonFile(join(folder, 'tokenizer_config.json')),
    readJsonFile(join(folder, 'special_tokens_map.json')),
    readJsonFile(join(folder, 'generation_config.json')),
    readTextFile(join(folder, 'chat_template.jinja')),
  ])
  if (json === null) {
    throw new ModelFileError(folder, 'has no tokenizer.json', {
      hint: 'Download it with the model; tokenizer.model alone can be converted with transformers.',
    })
  }
  const settings = { ...map, ...config }
  const eosToken = specialText(settings.eos_token)
  const templates = namedTemplates(settings.chat_template)
  return {
    origin: file,
    json,
    bosToken: specialText(settings.bos_token),
    eosToken,
    addBos: typeof settings.add_bos_token === 'boolean' ? settings.add_bos_token : null,
    addEos: typeof settings.add_eos_token === 'boolean' ? settings.add_eos_token : null,
    stopTokens: [...eosTokens, ...idList(generation?.eos_token_id), ...idsOf(json, eosToken)],
    chatTemplate: jinja ?? templates.get('default') ?? null,
    toolChatTemplate: jinja === null ? (templates.get('tool_use') ?? null) : null,
  }
}

async function readTextFile(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

/** Special tokens are written as a text or as an object with the text in `content`. */
function specialText(token: unknown): string | null {
  const text = isRecord(token) ? token.content : token
  return typeof text === 'string' ? text : null
}

/** One template, or a list of named ones. */
function namedTemplates(given: unknown): Map<string, string> {
  if (typeof given === 'string') return new Map([['default', given]])
  const templates = new Map<string, string>()
  for (const entry of Array.isArray(given) ? given : []) {
    if (isRecord(entry) && typeof entry.name === 'string' && typeof entry.template === 'string') {
      templates.set(entry.name, entry.template)
    }
  }
  return templates
}

function idList(value: unknown): number[] {
  const list: unknown[] = Array.isArray(value) ? value : [value]
  return list.filter((id): id is number => typeof id === 'number' && Number.isInteger(id) && id >= 0)
}

function idsOf(json: Readonly<Record<string, unknown>>, text: string | null): number[] {
  const added: unknown[] = Array.isArray(json.added_tokens) ? json.added_tokens : []
  return added.flatMap((token) => (isRecord(token) && token.content === text ? idList(token.id) : []))
}
