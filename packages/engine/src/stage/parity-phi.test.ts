import { describeParity, tinyParityModel } from '../testing/parity/describe-parity.ts'
import { parityContext } from '../testing/parity/pipeline.ts'

const pairs = 6
const factors = {
  short: Array.from({ length: pairs }, (_, pair) => 1 + 0.1 * pair),
  long: Array.from({ length: pairs }, (_, pair) => 1 + 2 * pair),
}
const longRope = (originalContext: number) =>
  ({ type: 'longrope', factors, originalContext, attentionFactor: 1.19 }) as const

describeParity({
  'phi3, fused projections': tinyParityModel({ family: 'phi3' }),
  'phi3, 12 of 16 dimensions rotated, LongRoPE for long texts': tinyParityModel({
    family: 'phi3',
    config: { ropeDim: 2 * pairs, ropeScaling: longRope(parityContext / 2) },
  }),
  'phi3, 12 of 16 dimensions rotated, LongRoPE for short texts, a tied head': tinyParityModel({
    family: 'phi3',
    config: { ropeDim: 2 * pairs, ropeScaling: longRope(parityContext + 1), tiedEmbeddings: true },
  }),
})
