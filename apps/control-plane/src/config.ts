import { type Config, logFormats, logLevels, option } from '@deos/service'

/** Every option of the control plane's process. */
export const controlPlaneOptions = {
  host: option.text({
    flag: 'host',
    env: 'DEOS_CONTROL_HOST',
    default: '127.0.0.1',
    prose: 'Address to listen on for console, API and machines. 0.0.0.0 is every network of this machine.',
  }),
  port: option.port({
    flag: 'port',
    env: 'DEOS_CONTROL_PORT',
    default: 7000,
    prose: 'Port to listen on; 0 takes any free one.',
  }),
  publicUrl: option.optionalText({
    flag: 'public-url',
    env: 'DEOS_PUBLIC_URL',
    prose: 'Where people and machines reach it, for links and join commands. Without it, host and port.',
  }),
  databaseUrl: option.optionalText({
    flag: null,
    env: 'DATABASE_URL',
    secret: true,
    prose:
      'PostgreSQL to keep everything in: postgres://user:password@host/name. Without it, an embedded one.',
  }),
  dataFolder: option.optionalText({
    flag: 'data',
    env: 'DEOS_DATA',
    prose: 'Folder of the embedded database and of model files. Without it, nothing outlives the process.',
  }),
  consoleFolder: option.optionalText({
    flag: 'console',
    env: 'DEOS_CONSOLE',
    prose: 'Folder with the built console; without it there is none.',
  }),
  modelFolders: option.list({
    flag: 'model-folders',
    env: 'DEOS_MODEL_FOLDERS',
    default: [],
    prose: 'Folders of this machine from which models may be registered by path.',
  }),
  allowedHosts: option.list({
    flag: 'allowed-hosts',
    env: 'DEOS_ALLOWED_HOSTS',
    default: [],
    prose:
      'Hosts in private networks from which models may be fetched, such as an own hub: host or host:port.',
  }),
  hubToken: option.optionalText({
    flag: null,
    env: 'HF_TOKEN',
    secret: true,
    prose: 'Token for gated models on the Hugging Face hub.',
  }),
  gatewayToken: option.optionalText({
    flag: null,
    env: 'DEOS_GATEWAY_TOKEN',
    secret: true,
    prose: 'What gateways show: "deos_g_" and at least 32 characters. Without it no gateway is let in.',
  }),
  gatewayUrl: option.optionalText({
    flag: 'gateway-url',
    env: 'DEOS_GATEWAY_URL',
    prose: 'Where clients reach the gateways, as the console shows it. Without it, what gateways report.',
  }),
  bootstrapKey: option.optionalText({
    flag: null,
    env: 'DEOS_BOOTSTRAP_KEY',
    secret: true,
    prose:
      'An API key that is made to exist in the first organisation, for the process that starts this one.',
  }),
  prepaid: option.boolean({
    flag: 'prepaid',
    env: 'DEOS_PREPAID',
    default: false,
    prose: 'Let organisations use only what they paid in. Otherwise only budgets limit them.',
  }),
  trustProxy: option.boolean({
    flag: 'trust-proxy',
    env: 'DEOS_TRUST_PROXY',
    default: false,
    prose: 'Believe X-Forwarded-For and X-Forwarded-Proto: only behind a proxy that sets them.',
  }),
  heartbeatMs: option.duration({
    flag: 'heartbeat',
    env: 'DEOS_HEARTBEAT',
    default: 1000,
    prose: 'How often machines say that they live.',
  }),
  leaseMs: option.duration({
    flag: 'lease',
    env: 'DEOS_LEASE',
    default: 4000,
    prose: 'Silence after which a machine counts as lost.',
  }),
  drainLimitMs: option.duration({
    flag: 'drain-limit',
    env: 'DEOS_DRAIN_LIMIT',
    default: 5000,
    prose: 'Time that open calls get to finish when the process is asked to stop.',
  }),
  logLevel: option.choice({
    flag: 'log-level',
    env: 'DEOS_LOG_LEVEL',
    default: 'info',
    choices: logLevels,
    prose: 'Least important lines to log.',
  }),
  logFormat: option.choice({
    flag: 'log-format',
    env: 'DEOS_LOG_FORMAT',
    default: 'auto',
    choices: logFormats,
    prose: 'How to log to standard error; auto is pretty on a terminal and JSON elsewhere.',
  }),
}

export type ControlPlaneConfig = Config<typeof controlPlaneOptions>
