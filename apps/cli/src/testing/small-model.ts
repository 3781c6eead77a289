import { type ModelConfig, plainTraits } from '@deos/domain'

/** A shape for tests: eight layers, heads of 32. */
export const smallModel: ModelConfig = {
  architecture: 'llama',
  name: 'small',
  layers: 8,
  hiddenSize: 256,
  feedForwardSize: 704,
  heads: 8,
  kvHeads: 4,
  headDim: 32,
  vocabSize: 4096,
  contextLength: 1024,
  normEpsilon: 1e-5,
  ropeTheta: 10_000,
  ropeDim: 32,
  ropeScaling: { type: 'none' },
  ...plainTraits(32),
  tiedEmbeddings: true,
  bosToken: 0,
  eosTokens: [0],
}
