/**
 * Moves the KV cache of a session between rings while it is computed: {@link KvSender} at each stage that computes,
 * {@link KvReceiver} at each stage that will decode, {@link HandoverCoordinator} at the gateway for each session.
 */
export { crc32 } from './crc32.ts'
export { defaultGuardLimits, type GuardJudgement, type GuardLimits, guardRow, judgeGuard } from './guard.ts'
export {
  type CoordinatorEffect,
  type CoordinatorEvent,
  HandoverCoordinator,
  type HandoverOptions,
  type HandoverPhase,
} from './handover-coordinator.ts'
export {
  defaultReceiverOptions,
  KvReceiver,
  type KvReceiverOptions,
  type ReceiverEffect,
  type ReceiverEvent,
} from './kv-receiver.ts'
export {
  defaultSenderOptions,
  KvSender,
  type KvSenderOptions,
  type SenderEffect,
  type SenderEvent,
} from './kv-sender.ts'
export { blocksOf, commonLayers, KvSlice } from './kv-slice.ts'
export * from './transfer-messages.ts'
