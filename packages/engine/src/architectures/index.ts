import type { Architecture } from './architecture.ts'
import { deepseek2 } from './deepseek2.ts'
import { gemma } from './gemma.ts'
import { gemma2 } from './gemma2.ts'
import { gemma3 } from './gemma3.ts'
import { gptOss } from './gpt-oss.ts'
import { llama } from './llama.ts'
import { llama4 } from './llama4.ts'
import { phi3 } from './phi3.ts'
import { qwen2 } from './qwen2.ts'
import { qwen3 } from './qwen3.ts'
import { qwen3moe } from './qwen3moe.ts'

export type {
  Architecture,
  DispatchedExperts,
  LayerContext,
  LayerPart,
  MatrixBundle,
} from './architecture.ts'
export { expertNodes } from './experts.ts'
export { latentAttentionNodes } from './latent-attention.ts'

const all: readonly Architecture[] = [
  deepseek2,
  gemma,
  gemma2,
  gemma3,
  gptOss,
  llama,
  llama4,
  phi3,
  qwen2,
  qwen3,
  qwen3moe,
]

export const architectures: ReadonlyMap<string, Architecture> = new Map(
  all.map((architecture) => [architecture.name, architecture]),
)
