import { existsSync } from 'node:fs'

/** Long prompts are tokenized beside the event loop, by a file that the build puts next to this one. */
export function findTokenizerThread(): URL | null {
  const built = new URL('./tokenizer-thread.mjs', import.meta.url)
  return existsSync(built) ? built : null
}
