import { homedir } from 'node:os'
import { join } from 'node:path'
import { KV_BLOCK_TOKENS } from '@deos/protocol'
import { type Config, logOptions, machineProxyOption, option, readConfig } from '@deos/service'
import { formatNames } from './inference/formats/chat-format.ts'
import { qualityModes, splitModes } from './split/split-modes.ts'

/** Options of every gateway. */
const commonOptions = {
  host: option.text({
    flag: 'host',
    env: 'DEOS_HOST',
    default: '127.0.0.1',
    prose: 'Address to listen on for clients. 0.0.0.0 is every network of this machine.',
  }),
  port: option.port({
    flag: 'port',
    env: 'DEOS_PORT',
    default: 8000,
    prose: 'Port to listen on; 0 takes any free one.',
  }),
  corsOrigins: option.list({
    flag: 'cors-origins',
    env: 'DEOS_CORS_ORIGINS',
    default: [],
    prose: 'Origins of web pages that may call, beside pages of this machine; * allows all.',
  }),
  bodyLimitBytes: option.size({
    flag: 'body-limit',
    env: 'DEOS_BODY_LIMIT',
    default: 10 * 1024 * 1024,
    prose: 'Largest request body.',
  }),
  requestTimeoutMs: option.duration({
    flag: 'request-timeout',
    env: 'DEOS_REQUEST_TIMEOUT',
    default: 600_000,
    prose: 'From a request to the end of its answer; 0 is unlimited.',
  }),
  bufferBytes: option.size({
    flag: 'stream-buffer',
    env: 'DEOS_STREAM_BUFFER',
    default: 1024 * 1024,
    prose: 'Unread bytes of a stream above which its reader is cut off.',
  }),
  stallMs: option.duration({
    flag: 'stream-stall',
    env: 'DEOS_STREAM_STALL',
    default: 30_000,
    prose: 'Time a stream’s reader may read nothing before it is cut off.',
  }),
  pingMs: option.duration({
    flag: 'stream-ping',
    env: 'DEOS_STREAM_PING',
    default: 15_000,
    prose: 'Silence in a stream after which a comment keeps the connection alive.',
  }),
  resumePatienceMs: option.duration({
    flag: 'resume-patience',
    env: 'DEOS_RESUME_PATIENCE',
    default: 30_000,
    prose: 'How long an answer interrupted by a fault waits for the ring to come back.',
  }),
  maxInterruptions: option.integer({
    flag: 'max-interruptions',
    env: 'DEOS_MAX_INTERRUPTIONS',
    default: 5,
    prose: 'Faults that one answer may survive.',
  }),
  drainLimitMs: option.duration({
    flag: 'drain-limit',
    env: 'DEOS_DRAIN_LIMIT',
    default: 30_000,
    prose: 'Time that accepted requests get to finish when the gateway is asked to stop.',
  }),
  proxy: machineProxyOption,
  ...logOptions,
  split: option.choice({
    flag: 'split',
    env: 'DEOS_SPLIT',
    default: 'auto',
    choices: splitModes,
    prose:
      'Which prompts a prefill ring or replica computes, where there is one; auto measures what is faster.',
  }),
  splitBlockTokens: option.integer({
    flag: 'split-block-tokens',
    env: 'DEOS_SPLIT_BLOCK_TOKENS',
    default: KV_BLOCK_TOKENS,
    min: 16,
    max: 4096,
    prose: 'Positions of a block of KV that travels between rings; shorter prompts are not split.',
  }),
  splitDeadlineMs: option.duration({
    flag: 'split-deadline',
    env: 'DEOS_SPLIT_DEADLINE',
    default: 60_000,
    prose: 'How long a hand-over may take; what has not come by then is computed again.',
  }),
  kvExposedMs: option.duration({
    flag: 'kv-exposed',
    env: 'DEOS_KV_EXPOSED',
    default: 50,
    prose: 'How long KV may still travel when its prompt is computed; smaller blocks are chosen to meet it.',
  }),
  kvGoodputBytes: option.size({
    flag: 'kv-goodput',
    env: 'DEOS_KV_GOODPUT',
    default: 0,
    prose: 'Bytes that the network between rings carries in a second; 0 has it measured.',
  }),
  kvEnhanceMs: option.duration({
    flag: 'kv-enhance',
    env: 'DEOS_KV_ENHANCE',
    default: 10_000,
    prose: 'How long better copies may follow refined KV once the answer began.',
  }),
}

/** Options of a gateway that serves one model of rings that it is told of. */
export const fixedOptions = {
  ...commonOptions,
  apiKey: option.optionalText({
    flag: 'api-key',
    env: 'DEOS_API_KEY',
    secret: true,
    prose: 'Key that clients must send. Better in the environment: flags show in process lists.',
  }),
  model: option.text({
    flag: 'model',
    env: 'DEOS_MODEL',
    prose: 'GGUF file or Hugging Face folder, for tokenizer and chat template; its weights are not read.',
  }),
  modelId: option.optionalText({
    flag: 'model-id',
    env: 'DEOS_MODEL_ID',
    prose: 'Name of the model in the API. Without it, the name the model states.',
  }),
  adapters: option.list({
    flag: 'adapters',
    env: 'DEOS_ADAPTERS',
    default: [],
    prose: 'Names of the LoRA adapters that the ring’s workers hold; each is a model of its own in the API.',
  }),
  chatFormat: option.choice({
    flag: 'chat-format',
    env: 'DEOS_CHAT_FORMAT',
    default: 'auto',
    choices: ['auto', ...formatNames],
    prose: 'How the model was taught to call tools; auto reads it from the chat template.',
  }),
  ring: option.text({ flag: 'ring', env: 'DEOS_RING', prose: 'Id of the ring that runs the model.' }),
  leader: option.text({ flag: 'leader', env: 'DEOS_LEADER', prose: 'host:port of the ring’s first stage.' }),
  tail: option.text({
    flag: 'tail',
    env: 'DEOS_TAIL',
    prose: 'host:port of the ring’s last stage; the same as the leader’s in a ring of one.',
  }),
  otherRings: option.list({
    flag: 'other-rings',
    env: 'DEOS_OTHER_RINGS',
    default: [],
    prose:
      'Further rings with the same model and secret, each as ring@leader/tail; requests go to the least busy.',
  }),
  stages: option.list({
    flag: 'stages',
    env: 'DEOS_STAGES',
    default: [],
    prose: 'host:port of all of the ring’s stages in order; needed only beside a prefill ring.',
  }),
  prefillRing: option.optionalText({
    flag: 'prefill-ring',
    env: 'DEOS_PREFILL_RING',
    prose: 'Id of a second ring with the same model, which computes long prompts for the first.',
  }),
  prefillStages: option.list({
    flag: 'prefill-stages',
    env: 'DEOS_PREFILL_STAGES',
    default: [],
    prose: 'host:port of all stages of the prefill ring in order.',
  }),
  prefillSecret: option.optionalText({
    flag: null,
    env: 'DEOS_PREFILL_SECRET',
    secret: true,
    prose: 'The secret of the prefill ring: 32 bytes as 64 hexadecimal digits.',
  }),
  kvQuality: option.choice({
    flag: 'kv-quality',
    env: 'DEOS_KV_QUALITY',
    default: 'lossless',
    choices: qualityModes,
    prose:
      'How KV travels between the rings: with every bit; (guarded) smaller where time is short, compared before the first token; or (refined) so, with better copies behind.',
  }),
  kvCalibration: option.optionalText({
    flag: 'kv-calibration',
    env: 'DEOS_KV_CALIBRATION',
    prose: 'File that "deos model calibrate" wrote, the same as the workers’; guarded needs it.',
  }),
  ringSecret: option.key({
    flag: null,
    env: 'DEOS_RING_SECRET',
    byteLength: 32,
    prose: 'The secret that every member of the ring knows: 32 bytes as 64 hexadecimal digits.',
  }),
}

/** Options of a gateway that serves whatever a control plane wants served. */
export const routedOptions = {
  ...commonOptions,
  controlPlane: option.text({
    flag: 'control-plane',
    env: 'DEOS_CONTROL_PLANE',
    prose:
      'Address of the control plane, such as http://127.0.0.1:7000: what to serve and which keys count comes from there.',
  }),
  gatewayToken: option.text({
    flag: null,
    env: 'DEOS_GATEWAY_TOKEN',
    secret: true,
    prose: 'The token by which the control plane knows its gateways: deos_g_…',
  }),
  publicUrl: option.optionalText({
    flag: 'public-url',
    env: 'DEOS_PUBLIC_URL',
    prose: 'Where clients reach this gateway, if that is not where it listens.',
  }),
  cacheFolder: option.text({
    flag: 'cache',
    env: 'DEOS_GATEWAY_CACHE',
    default: join(homedir(), '.cache', 'deos', 'gateway'),
    prose: 'Folder for tokenizers and headers of models; several gateways may share it.',
  }),
  waitPatienceMs: option.duration({
    flag: 'wait-patience',
    env: 'DEOS_WAIT_PATIENCE',
    default: 10_000,
    prose: 'How long a request waits when no replica of its model is ready.',
  }),
  failoverPatienceMs: option.duration({
    flag: 'failover-patience',
    env: 'DEOS_FAILOVER_PATIENCE',
    default: 1_000,
    prose: 'How long an interrupted answer waits for its own replica while another is ready.',
  }),
  keyFreshMs: option.duration({
    flag: 'key-fresh',
    env: 'DEOS_KEY_FRESH',
    default: 30_000,
    prose: 'How long what the control plane said of a key is believed without asking again.',
  }),
  keyStaleLimitMs: option.duration({
    flag: 'key-stale-limit',
    env: 'DEOS_KEY_STALE_LIMIT',
    default: 15 * 60_000,
    prose: 'How long at most while the control plane does not answer.',
  }),
}

export type FixedConfig = Config<typeof fixedOptions>
export type RoutedConfig = Config<typeof routedOptions>

/**
 * Reads the options of whichever gateway is asked for: with a control plane, or of one ring.
 *
 * @throws ConfigError naming the option, its value and the remedy
 */
export function readGatewayConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): FixedConfig | RoutedConfig {
  const { flag, env: variable } = routedOptions.controlPlane
  const given = (name: string | null) =>
    argv.some((word) => word === `--${name}` || word.startsWith(`--${name}=`))
  // A ring that is named on the command line goes before a control plane that is only in the environment.
  const routed = given(flag) || (env[variable] && !given(fixedOptions.ring.flag))
  return routed ? readConfig(routedOptions, argv, env) : readConfig(fixedOptions, argv, env)
}
