import type { ModelConfig } from '@deos/domain'
import { attention, embeddingAndHead, feedForward, hidden } from './common.ts'
import type { Family, TensorRule } from './family.ts'

/** Gemma's norms multiply by 1 + weight; GGUF has the sum. */
export const shifted = (rules: readonly TensorRule[]): readonly TensorRule[] =>
  rules.map((rule) => (rule.gguf.endsWith('_norm.weight') ? { ...rule, addend: 1 } : rule))

/** What all of Gemma have in common: embeddings enter multiplied by the root of their width. */
export const gemmaScale = ({ hiddenSize }: ModelConfig): Partial<ModelConfig> => ({
  embeddingScale: Math.sqrt(hiddenSize),
})

/** What every Gemma's `config.json` may leave out. */
export const gemmaDefaults = { tie_word_embeddings: true, head_dim: 256, bos_token_id: 2, eos_token_id: 1 }

export const gemmaActivations = ['gelu_pytorch_tanh'] as const

/** Gemma, the first. Its files call the activation `gelu` and mean the approximation by tanh. */
export const gemma: Family = {
  architecture: 'gemma',
  title: 'Gemma',
  classes: [
    {
      name: 'GemmaForCausalLM',
      modelType: 'gemma',
      defaults: gemmaDefaults,
      activations: [...gemmaActivations, 'gelu'],
      slidingWindow: () => null,
      traits: (_, plain) => gemmaScale(plain),
    },
  ],
  globals: shifted(embeddingAndHead),
  layer: shifted([
    ...attention(false),
    { gguf: 'ffn_norm.weight', huggingFace: 'post_attention_layernorm.weight', shape: hidden },
    ...feedForward('mlp'),
  ]),
  ropeScalings: ['linear', 'yarn'],
  fullRope: true,
  ggufTraits: (_, plain) => gemmaScale(plain),
}
