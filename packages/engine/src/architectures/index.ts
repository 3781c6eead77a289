import type { Architecture } from './architecture.ts'
import { llama } from './llama.ts'
import { qwen2 } from './qwen2.ts'
import { qwen3 } from './qwen3.ts'

export type { Architecture, LayerContext } from './architecture.ts'

const all: readonly Architecture[] = [llama, qwen2, qwen3]

export const architectures: ReadonlyMap<string, Architecture> = new Map(
  all.map((architecture) => [architecture.name, architecture]),
)
