/**
 * Chooses tokens from logits. Pure: no clock, no `Math.random`; everything random comes from the session's seed.
 * Start at {@link Sampler}.
 */
export * from './errors.ts'
export { gumbelNoise, NOISE_BLOCK } from './noise.ts'
export { GREEDY_BELOW, Sampler } from './sampler.ts'
export { maskWords } from './token-mask.ts'
