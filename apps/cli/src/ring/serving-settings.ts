import type { ActivationCoding } from '@deos/domain'

/** A LoRA adapter that requests may name instead of the model. */
export interface AdapterFile {
  readonly name: string
  /** PEFT folder or GGUF file. */
  readonly path: string
}

/** How a ring serves, beside where its layers are. */
export interface ServingSettings {
  /** Keep the KV of ended sessions while there is room, for prompts that begin alike. */
  readonly prefixCache: boolean
  /** Most prompt tokens in one step; `auto` measures what decoding sessions bear. */
  readonly prefillChunkTokens: number | 'auto'
  readonly adapters: readonly AdapterFile[]
  /** How hidden states go from stage to stage; `int8` and `int4h` change answers. */
  readonly activations: ActivationCoding
}

export const defaultServing: ServingSettings = {
  prefixCache: true,
  prefillChunkTokens: 'auto',
  adapters: [],
  activations: 'f32',
}
