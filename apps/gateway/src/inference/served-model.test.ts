import { mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ChatTemplateError } from '@deos/engine/tokenizer'
import { ModelNotFoundError } from '@deos/engine/weights'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ScriptedBackend, say } from '../testing/scripted-backend.ts'
import { PromptTooLongError } from './errors.ts'
import { openServedModel } from './served-model.ts'
import type { TextModel } from './text-model.ts'

const embedded = fileURLToPath(new URL('../../../../models/deos-7m', import.meta.url))
const backend = new ScriptedBackend((request) => say('', request))
const { signal } = new AbortController()

async function open(path = embedded, id: string | null = null): Promise<TextModel> {
  const model = await openServedModel({ path, id, format: null, tokenizerThread: null })
  onTestFinished(() => model.stop())
  return model.withBackend(backend)
}

/** The embedded model with other files beside its own. */
async function openWith(files: Readonly<Record<string, unknown>>): Promise<TextModel> {
  const folder = await mkdtemp(join(tmpdir(), 'deos-model-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  for (const name of await readdir(embedded)) {
    if (!(name in files)) await symlink(join(embedded, name), join(folder, name))
  }
  for (const [name, content] of Object.entries(files))
    await writeFile(join(folder, name), JSON.stringify(content))
  return open(folder)
}

describe('the embedded model', () => {
  test('has the limits of its configuration', async () => {
    const model = await open(embedded, 'mine')
    expect(model).toMatchObject({
      id: 'mine',
      contextLength: 1024,
      vocabSize: 4096,
      stopTokens: [0],
      defaults: {},
    })
    expect(model.fingerprint).toMatch(/^[0-9a-f]{12}/)
  })

  test('turns text into tokens and back', async () => {
    const model = await open()
    const text = 'fn main() { println!("Grüße 👋"); }'
    const tokens = await model.encode(text, 'prompt', signal)
    const decoder = model.decoder()
    expect([...tokens].map((token) => decoder.push(token)).join('') + decoder.flush()).toBe(text)
    expect(Buffer.concat([...tokens].map((token) => model.tokenBytes(token))).toString()).toBe(text)
  })

  test('begins an empty prompt with its first token', async () => {
    const model = await open()
    expect([...(await model.encode('', 'prompt', signal))]).toEqual([0])
  })

  test('reads control tokens in templates, not in prompts', async () => {
    const model = await open()
    expect([...(await model.encode('<|end|>', 'template', signal))]).toEqual([0])
    expect((await model.encode('<|end|>', 'prompt', signal)).length).toBeGreaterThan(1)
  })

  test('renders a conversation', async () => {
    const model = await open()
    const text = model.renderChat({
      messages: [
        { role: 'system', content: 'One.' },
        { role: 'user', content: 'Two.' },
      ],
    })
    // The template writes two line ends; the first, right after a block, is dropped as transformers does.
    expect(text).toBe('One.\nTwo.')
  })

  test('refuses a text that cannot fit without tokenizing it', async () => {
    const model = await open()
    await expect(model.encode('x'.repeat(5_000_000), 'prompt', signal)).rejects.toBeInstanceOf(
      PromptTooLongError,
    )
  })
})

test('a model’s advice on sampling becomes the default, as far as it makes sense', async () => {
  const model = await openWith({
    'generation_config.json': {
      temperature: 0.6,
      top_p: 0.9,
      top_k: 40,
      repetition_penalty: -1,
      min_p: '0.1',
    },
  })
  expect(model.defaults).toEqual({ temperature: 0.6, topP: 0.9, topK: 40 })
})

test('advice for a model that was not to be sampled from is left alone', async () => {
  const model = await openWith({ 'generation_config.json': { do_sample: false, temperature: 0.1 } })
  expect(model.defaults).toEqual({})
})

test('a broken chat template is found at the start', async () => {
  const opening = openWith({ 'tokenizer_config.json': { chat_template: '{% for %}' } })
  await expect(opening).rejects.toBeInstanceOf(ChatTemplateError)
})

test('a path without a model is named', async () => {
  await expect(open('/nowhere')).rejects.toBeInstanceOf(ModelNotFoundError)
})
