import { embeddingAndHead, ropeFrequencies, transformerLayer } from './common.ts'
import type { Family } from './family.ts'
import { everyLayerWindow } from './sliding-window.ts'

/** Llama 2 and 3, and Mistral, which llama.cpp counts among them. */
export const llama: Family = {
  architecture: 'llama',
  title: 'Llama 2/3, Mistral',
  classes: [
    { name: 'LlamaForCausalLM', modelType: 'llama', slidingWindow: () => null },
    { name: 'MistralForCausalLM', modelType: 'mistral', slidingWindow: everyLayerWindow },
  ],
  globals: [...embeddingAndHead, ropeFrequencies],
  layer: transformerLayer(true),
  ropeScalings: ['linear', 'llama3', 'yarn'],
  fullRope: true,
}
