import type { ModelSource } from '../weights/model-source.ts'
import type { TokenizerDefinition } from './definition.ts'
import { readGgufDefinition } from './gguf-definition.ts'
import { readHuggingFaceDefinition } from './huggingface-definition.ts'
import { Tokenizer } from './tokenizer.ts'

/** The part of an opened model that names its tokenizer. */
export type TokenizerSource = Pick<ModelSource, 'path' | 'format' | 'metadata'> & {
  readonly config: Pick<ModelSource['config'], 'eosTokens'>
}

/** @throws ModelFileError if something is missing or damaged, UnsupportedModelError if there is no code for it */
export async function readTokenizerDefinition(source: TokenizerSource): Promise<TokenizerDefinition> {
  const { eosTokens } = source.config
  return source.format === 'gguf'
    ? readGgufDefinition(source.path, source.metadata, eosTokens)
    : readHuggingFaceDefinition(source.path, eosTokens)
}

/** @throws like {@link readTokenizerDefinition} */
export async function loadTokenizer(source: TokenizerSource): Promise<Tokenizer> {
  return new Tokenizer(await readTokenizerDefinition(source))
}
