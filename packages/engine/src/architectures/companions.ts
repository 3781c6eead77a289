/**
 * Matrices of a layer that are multiplied with the same vectors. Where they also have the same type and lie one after
 * the other, one product gives the results of all: fewer conversions of the vectors, and fewer barriers between threads.
 */
export const companions = {
  attention: ['attn_q', 'attn_k', 'attn_v'],
  feedForward: ['ffn_gate', 'ffn_up'],
  sharedExpert: ['ffn_gate_shexp', 'ffn_up_shexp'],
} as const
