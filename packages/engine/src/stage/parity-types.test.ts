import { describeParity, tinyParityModel } from '../testing/parity/describe-parity.ts'

/** Rows that fill the blocks of 256 of K-quants. */
const wide = { layers: 3, hiddenSize: 256, feedForwardSize: 512, headDim: 64 }
const types = ['F16', 'Q8_0', 'Q4_0', 'Q4_K', 'Q6_K'] as const

describeParity(
  Object.fromEntries(
    types.map((type) => [`llama in ${type}`, tinyParityModel({ family: 'llama', type, config: wide })]),
  ),
)
