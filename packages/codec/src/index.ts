/**
 * @packageDocumentation
 * Makes KV caches small enough to travel: bytes in, bytes out, with and without loss; what to send at which level, and
 * whether what arrived still answers alike. Pure: imports `domain` only. Start at {@link encodeKvBlock};
 * docs/kv-codec.md has the format and what it costs.
 */
export * from './activations/index.ts'
export { type Basis, finishBasis, type KvPart, readBasis, type WeightedPart } from './basis.ts'
export * from './basis-update.ts'
export type { BlockHeader } from './block-frame.ts'
export * from './calibration.ts'
export * from './calibration-fit.ts'
export { type ChannelModelSet, readChannelModels, writeChannelModels } from './channel-models.ts'
export * from './cheapest-levels.ts'
export { contentId, crc32 } from './checksum.ts'
export { type Eigen, symmetricEigen } from './eigen.ts'
export * from './errors.ts'
export * from './fit-basis.ts'
export * from './gram.ts'
export { hadamardSize, turnHadamard } from './groups.ts'
export { halfValues, narrowToHalves, toHalf, widenHalves } from './half.ts'
export { type ChannelModel, channelOrder, fitChannelModel } from './innovation.ts'
export * from './kv-block.ts'
export { bytesFromHalves, halvesFromBytes, MAX_BLOCK_TOKENS } from './kv-matrix.ts'
export * from './level.ts'
export * from './level-choice.ts'
export * from './listed-probe.ts'
export { type MultiplyTransposed, multiplyTransposed } from './projection.ts'
export * from './quality-guard.ts'
export { type RotaryGeometry, type RotaryOf, rotaryOfLayouts, rotateKeys } from './rotary.ts'
export * from './stream-schedule.ts'
export { basisForStep } from './transform.ts'
