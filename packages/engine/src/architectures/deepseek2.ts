import { isExpertLayer } from '@deos/domain'
import type { Architecture } from './architecture.ts'
import { gatedFeedForward, rmsNorm } from './blocks.ts'
import { expertFeedForward } from './experts.ts'
import { latentAttention } from './latent-attention.ts'

/** DeepSeek-V2 and V3: latent attention; some plain layers, then layers with experts. */
export const deepseek2: Architecture = {
  name: 'deepseek2',
  ropeLayout: 'interleaved',
  layer(context, x) {
    const { builder } = context
    const attended = latentAttention(context, rmsNorm(context, 'attn_norm', x))
    const middle = builder.add(attended, context.keepOutputs(x))
    const feedForward = isExpertLayer(context.config, context.layer) ? expertFeedForward : gatedFeedForward
    return builder.add(feedForward(context, rmsNorm(context, 'ffn_norm', middle)), middle)
  },
}
