/** Hands prompts over between rings: a stage's blocks of KV on their way to and from workers of other rings. */
export {
  BLOCK_CODEC_VERSION,
  BlockCodecError,
  type BlockCoding,
  type BlockFacts,
  decodeBlock,
  encodeBlock,
} from './block-codec.ts'
export { type LoadedCalibration, loadCalibration } from './calibration-file.ts'
export { BlockCodec } from './codec-client.ts'
export type { CodecReply, CodecRequest, CodecSettings } from './codec-messages.ts'
export { GuestLinks } from './guest-links.ts'
export { KvExchange, type KvExchangeOptions } from './kv-exchange.ts'
