import { describeParity, tinyParityModel } from '../testing/parity/describe-parity.ts'

/** Windows of 16 in some layers, caps small enough to bend scores and logits. */
describeParity({
  gemma: tinyParityModel({ family: 'gemma' }),
  'gemma2, capped, a window in every other layer': tinyParityModel({ family: 'gemma2' }),
  'gemma3, a window and another base in two of three layers': tinyParityModel({ family: 'gemma3_text' }),
  'gemma3, positions scaled linearly in layers without a window': tinyParityModel({
    family: 'gemma3_text',
    config: { ropeScaling: { type: 'linear', factor: 8 } },
  }),
})
