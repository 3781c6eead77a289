import { type Config, ConfigError, logOptions, type Option, option, readConfig } from '@deos/service'

type Texts = Parameters<typeof option.optionalText>[0]

/** Where people or machines reach something: http or https, and an origin that browsers know. */
const optionalAddress = (spec: Texts): Option<string | null> => ({
  ...option.optionalText(spec),
  parse: (text) => {
    const url = URL.parse(text)
    const isAddress = url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.hash === ''
    if (text === '' || isAddress) return { value: text === '' ? null : text }
    return { expected: 'an address such as https://deos.example.org' }
  },
})

/** Something that nobody can guess, and that is told from other secrets by how it begins. */
const optionalSecret = (prefix: string, spec: Omit<Texts, 'flag' | 'secret'>): Option<string | null> => ({
  ...option.optionalText({ ...spec, flag: null, secret: true }),
  parse: (text) => {
    if (text === '') return { value: null }
    if (text.startsWith(prefix) && /^[A-Za-z0-9_-]{32,}$/.test(text.slice(prefix.length))) {
      return { value: text }
    }
    return { expected: `"${prefix}" and at least 32 letters, digits, "-" and "_"` }
  },
})

const shortestHeartbeatMs = 100

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
  relayPort: option.integer({
    flag: 'relay-port',
    env: 'DEOS_RELAY_PORT',
    default: 0,
    min: 0,
    max: 65_535,
    prose: 'Port on which machines behind NATs are reached through a relay; 0 runs none.',
  }),
  publicUrl: optionalAddress({
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
  gatewayToken: optionalSecret('deos_g_', {
    env: 'DEOS_GATEWAY_TOKEN',
    prose: 'What gateways show: "deos_g_" and at least 32 characters. Without it no gateway is let in.',
  }),
  gatewayUrl: optionalAddress({
    flag: 'gateway-url',
    env: 'DEOS_GATEWAY_URL',
    prose: 'Where clients reach the gateways, as the console shows it. Without it, what gateways report.',
  }),
  bootstrapKey: optionalSecret('deos_k_', {
    env: 'DEOS_BOOTSTRAP_KEY',
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
  heartbeatsPerSecond: option.integer({
    flag: 'heartbeats-per-second',
    env: 'DEOS_HEARTBEATS_PER_SECOND',
    default: 100,
    min: 1,
    prose: 'Of all machines together, at most: more machines beat more rarely, and their leases last longer.',
  }),
  drainLimitMs: option.duration({
    flag: 'drain-limit',
    env: 'DEOS_DRAIN_LIMIT',
    default: 5000,
    prose: 'Time that open calls get to finish when the process is asked to stop.',
  }),
  ...logOptions,
}

export type ControlPlaneConfig = Config<typeof controlPlaneOptions>

/**
 * Reads the options once, at the start.
 *
 * @throws ConfigError naming the option, its value and the remedy
 */
export function readControlPlaneConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): ControlPlaneConfig {
  const config = readConfig(controlPlaneOptions, argv, env)
  const { heartbeatMs, leaseMs } = config
  if (heartbeatMs < shortestHeartbeatMs) {
    throw new ConfigError(
      '--heartbeat',
      `--heartbeat is ${heartbeatMs} ms, and machines beat at most every ${shortestHeartbeatMs} ms.`,
      `Give ${shortestHeartbeatMs}ms or more.`,
    )
  }
  // One heartbeat may come late without a machine being taken for lost.
  if (leaseMs < 2 * heartbeatMs) {
    throw new ConfigError(
      '--lease',
      `--lease is ${leaseMs} ms, and machines beat every ${heartbeatMs} ms.`,
      `Give at least twice the time of --heartbeat: ${2 * heartbeatMs}ms.`,
    )
  }
  return config
}
