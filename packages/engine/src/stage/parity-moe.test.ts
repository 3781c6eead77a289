import type { RopeScaling } from '@deos/domain'
import { describeParity, tinyParityModel } from '../testing/parity/describe-parity.ts'
import { tinyConfig } from '../testing/tiny-models.ts'

const yarn: RopeScaling = {
  type: 'yarn',
  factor: 32,
  originalContext: 64,
  attentionFactor: 0.1 * Math.log(32) + 1,
  betaFast: 32,
  betaSlow: 1,
}

/** Random models with experts. */
describeParity({
  mixtral: tinyParityModel({ family: 'mixtral' }),
  'mixtral, in Q8_0': tinyParityModel({ family: 'mixtral', type: 'Q8_0' }),
  'qwen3moe, 4 of 16 experts': tinyParityModel({ family: 'qwen3_moe' }),
  'gpt-oss, experts in MXFP4, positions scaled by YaRN': tinyParityModel({
    family: 'gpt_oss',
    type: 'native',
    config: { ropeScaling: yarn },
  }),
  'llama4, one expert and a shared one in every second layer': tinyParityModel({ family: 'llama4_text' }),
  'llama4, 128 experts, which do not normalise heads': tinyParityModel({
    family: 'llama4_text',
    config: { experts: { ...tinyConfig('llama4_text').experts!, count: 128 } },
  }),
  'gpt-oss, from BF16': tinyParityModel({ family: 'gpt_oss', packed: false, type: 'F16' }),
})
