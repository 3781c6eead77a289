import type { ModelConfig } from '@deos/domain'
import { UnsupportedModelError } from '../errors.ts'
import type { Fields } from '../fields.ts'
import { embeddingAndHead, ropeFrequencies, transformerLayer } from './common.ts'
import {
  expertCounts,
  expertLayer,
  expertMetadata,
  fusedExperts,
  ggufExpertCounts,
  plainRouting,
  stackOfExperts,
} from './experts.ts'
import { besideImages, type Family } from './family.ts'
import { everyLayerWindow } from './sliding-window.ts'

const mixtralMatrices = { gate: 'w1', up: 'w3', down: 'w2' } as const

/** Llama 2 and 3, and Mistral and Mixtral, which llama.cpp counts among them. */
export const llama: Family = {
  architecture: 'llama',
  title: 'Llama 2/3, Mistral, Mixtral',
  classes: [
    { name: 'LlamaForCausalLM', modelType: 'llama', slidingWindow: () => null },
    { name: 'MistralForCausalLM', modelType: 'mistral', slidingWindow: everyLayerWindow },
    {
      name: 'MixtralForCausalLM',
      modelType: 'mixtral',
      slidingWindow: everyLayerWindow,
      traits: mixtralTraits,
    },
    {
      name: 'Mistral3ForConditionalGeneration',
      modelType: 'mistral3',
      text: besideImages,
      slidingWindow: everyLayerWindow,
      traits: onlyMistral,
    },
  ],
  globals: [...embeddingAndHead, ropeFrequencies],
  layer: [
    ...transformerLayer(true),
    ...expertLayer({
      router: 'block_sparse_moe.gate',
      newRouter: 'mlp.gate',
      projection: (name) => {
        const tensor = (expert: number) =>
          `block_sparse_moe.experts.${expert}.${mixtralMatrices[name]}.weight`
        return {
          huggingFace: null,
          assemblies: [stackOfExperts(name, tensor), fusedExperts(name, 'mlp.experts')],
        }
      },
    }),
  ],
  ropeScalings: ['linear', 'llama3', 'yarn'],
  fullRope: true,
  ggufTraits: (fields, { feedForwardSize }) => {
    const counts = ggufExpertCounts(fields)
    return { experts: counts && { ...plainRouting, ...counts, feedForwardSize } }
  },
  ggufMetadata: expertMetadata,
}

/** Mistral Small 3.1 and later read images; what is inside may be another family. */
function onlyMistral(fields: Fields): Partial<ModelConfig> {
  const inside = fields.string('model_type')
  if (inside === 'mistral') return {}
  throw new UnsupportedModelError(
    fields.file,
    `holds a model of text of the type "${inside}", which this engine does not run`,
    'Of Mistral 3 it runs those with a "mistral" inside.',
  )
}

function mixtralTraits(fields: Fields, { feedForwardSize }: ModelConfig): Partial<ModelConfig> {
  const count = fields.integer('num_local_experts', expertCounts)
  const used = fields.integer('num_experts_per_tok', { min: 1, max: count })
  return { experts: { ...plainRouting, count, used, feedForwardSize } }
}
