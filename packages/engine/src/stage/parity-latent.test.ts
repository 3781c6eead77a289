import { describeParity, tinyParityModel } from '../testing/parity/describe-parity.ts'

/** YaRN as DeepSeek publishes it: `mscale` and `mscale_all_dim` are the same, so that only attention scores grow. */
const yarn = (headDim: number, allDim: number) => {
  const scale = 1 + 0.1 * allDim * Math.log(40)
  return {
    ropeScaling: {
      type: 'yarn' as const,
      ...{ factor: 40, originalContext: 64, attentionFactor: 1, betaFast: 32, betaSlow: 1 },
    },
    attentionScale: (scale * scale) / Math.sqrt(headDim),
  }
}

/** Random models with multi-head latent attention. */
describeParity({
  'DeepSeek-V2-Lite, positions scaled by YaRN': tinyParityModel(
    { family: 'deepseek_v2', config: yarn(24, 0.7) },
    { exact: true },
  ),
  'DeepSeek-V2, compressed queries and plain positions': tinyParityModel(
    {
      family: 'deepseek_v2',
      config: { latentAttention: { queryRank: 24, kvRank: 32, valueDim: 16 }, heads: 5, hiddenSize: 80 },
    },
    { exact: true },
  ),
  'DeepSeek-V3, groups of experts and YaRN': tinyParityModel(
    { family: 'deepseek_v3', config: yarn(24, 1) },
    { exact: true },
  ),
})
