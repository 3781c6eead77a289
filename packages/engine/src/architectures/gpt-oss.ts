import type { Architecture } from './architecture.ts'
import { rmsNorm, selfAttention } from './blocks.ts'
import { expertFeedForward } from './experts.ts'

/**
 * OpenAI's gpt-oss: attention with biases and sinks, then experts with biases.
 *
 * @see OpenAI 2025, "gpt-oss-120b & gpt-oss-20b Model Card", section 2 (arXiv:2508.10925)
 */
export const gptOss: Architecture = {
  name: 'gpt-oss',
  ropeLayout: 'halves',
  layer: (context, x) => {
    const { builder } = context
    const attended = selfAttention(context, rmsNorm(context, 'attn_norm', x), { normaliseHeads: false })
    const middle = builder.add(attended, context.keepOutputs(x))
    const fed = expertFeedForward(context, rmsNorm(context, 'post_attention_norm', middle), {
      activation: 'clipped swiglu',
      weighInput: false,
    })
    return builder.add(fed, middle)
  },
}
