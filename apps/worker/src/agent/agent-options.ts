import { availableParallelism, homedir, hostname } from 'node:os'
import { join } from 'node:path'
import type { ApiClient } from '@deos/sdk'
import {
  type Config,
  ConfigError,
  logOptions,
  machineProxyOption,
  option,
  supervisedOption,
} from '@deos/service'
import { type HttpProxy, isLoopback, proxyOption } from '@deos/transport'

type Location = NonNullable<Parameters<ApiClient['worker']['join']>[0]['body']['location']>

export const agentOptions = {
  url: option.text({
    flag: 'url',
    env: 'DEOS_URL',
    prose: 'Where the control plane is, such as https://deos.example.org.',
  }),
  token: option.optionalText({
    flag: null,
    env: 'DEOS_TOKEN',
    prose: 'Join token; needed the first time only.',
    secret: true,
  }),
  home: option.text({
    flag: 'home',
    env: 'DEOS_HOME',
    prose: 'Folder for the key of this machine, pieces of models and logs.',
    default: join(homedir(), '.deos'),
  }),
  name: option.optionalText({
    flag: 'name',
    env: 'DEOS_MACHINE_NAME',
    prose: 'Name to ask for. Each name has a key of its own, so several machines may share a computer.',
  }),
  region: option.optionalText({ flag: 'region', env: 'DEOS_REGION', prose: 'Region it stands in.' }),
  provider: option.optionalText({ flag: 'provider', env: 'DEOS_PROVIDER', prose: 'Who runs it.' }),
  listen: option.optionalText({
    flag: 'listen',
    env: 'DEOS_LISTEN',
    prose:
      'Address to accept other machines on; by default 127.0.0.1 if the control plane is on this computer, else 0.0.0.0.',
  }),
  linkPort: option.port({
    flag: 'link-port',
    env: 'DEOS_LINK_PORT',
    prose:
      'Port on which other machines measure links and fetch pieces; 0 takes any. Stages take further ones.',
    default: 0,
  }),
  advertise: option.optionalText({
    flag: 'advertise',
    env: 'DEOS_ADVERTISE',
    prose:
      'Host name or address under which other machines reach this one; by default found out, or none behind a NAT. "none" lets nobody dial it: it is reached over the relay.',
  }),
  threads: option.integer({
    flag: 'threads',
    env: 'DEOS_THREADS',
    prose: 'CPU threads of each stage.',
    default: Math.max(1, availableParallelism() - 1),
    min: 1,
    max: 512,
  }),
  device: option.optionalText({
    flag: 'device',
    env: 'DEOS_DEVICE',
    prose: 'The only device to offer, such as CUDA0 or CPU; by default all.',
  }),
  memory: option.size({
    flag: 'memory',
    env: 'DEOS_MEMORY',
    prose: 'Main memory that stages may take in all; 0 is three quarters of what there is.',
    default: 0,
  }),
  speed: option.text({
    flag: 'speed',
    env: 'DEOS_SPEED',
    prose: 'Share of the speed to use, above 0 up to 1; for demonstrations.',
    default: '1',
  }),
  cacheLimit: option.size({
    flag: 'cache-limit',
    env: 'DEOS_CACHE_LIMIT',
    prose: 'Disk space for pieces of models that no stage needs at the moment.',
    default: 50 * 2 ** 30,
  }),
  drainLimit: option.duration({
    flag: 'drain-limit',
    env: 'DEOS_DRAIN_LIMIT',
    prose: 'How long it may take until others have taken over, after the first signal.',
    default: 30_000,
  }),
  supervised: supervisedOption,
  proxy: machineProxyOption,
  ...logOptions,
}

export interface AgentSettings {
  /** Without a slash at the end. */
  readonly url: string
  readonly token: string | null
  readonly home: string
  /** `<home>/machine/<name>`. */
  readonly folder: string
  readonly wantedName: string | null
  readonly location: Location | null
  readonly listenHost: string
  readonly linkPort: number
  readonly advertise: string | null
  readonly threads: number
  readonly device: string | null
  /** Null is not limited. */
  readonly memoryLimitBytes: number | null
  readonly speed: number
  readonly cacheLimitBytes: number
  /** Through which other machines are dialled. */
  readonly proxy: HttpProxy | null
}

const slug = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const word = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
const unknownWord = 'unknown'

function checked(value: string | null, pattern: RegExp, source: string, expected: string): string | null {
  if (value === null || pattern.test(value)) return value
  throw new ConfigError(source, `${source} cannot be "${value}".`, `Give ${expected}.`)
}

function checkUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url !== null && (url.protocol === 'http:' || url.protocol === 'https:')) return url
  throw new ConfigError(
    '--url',
    `--url cannot be "${text}".`,
    'Give an address such as http://127.0.0.1:7000.',
  )
}

function checkSpeed(text: string): number {
  const speed = Number(text)
  if (text !== '' && speed > 0 && speed <= 1) return speed
  throw new ConfigError('--speed', `--speed cannot be "${text}".`, 'Give a number above 0 up to 1.')
}

/** What a computer calls itself, as far as it can be a machine's name. */
function nameOfComputer(): string | null {
  const name = hostname()
    .split('.')[0]!
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 63)
  return slug.test(name) ? name : null
}

function locationOf(region: string | null, provider: string | null): Location | null {
  if (region === null && provider === null) return null
  return { region: region ?? unknownWord, provider: provider ?? unknownWord }
}

/** @throws ConfigError naming the option that cannot be */
export function agentSettings(config: Config<typeof agentOptions>): AgentSettings {
  const url = checkUrl(config.url)
  const name = checked(
    config.name,
    slug,
    '--name',
    '1 to 63 lower-case letters, digits and "-", beginning and ending with a letter or digit',
  )
  const wordExpected = 'letters, digits, ".", "_" and "-", beginning with a letter or digit'
  const host = url.hostname.replace(/^\[|\]$/g, '')
  return {
    url: url.href.replace(/\/+$/, ''),
    token: config.token,
    home: config.home,
    folder: join(config.home, 'machine', name ?? 'default'),
    wantedName: name ?? nameOfComputer(),
    location: locationOf(
      checked(config.region, word, '--region', wordExpected),
      checked(config.provider, word, '--provider', wordExpected),
    ),
    listenHost: config.listen ?? (isLoopback(host) ? '127.0.0.1' : '0.0.0.0'),
    linkPort: config.linkPort,
    advertise: checked(
      config.advertise,
      /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,45})$/,
      '--advertise',
      'a host name or an address, without a port',
    ),
    threads: config.threads,
    device: config.device,
    memoryLimitBytes: config.memory === 0 ? null : config.memory,
    speed: checkSpeed(config.speed),
    cacheLimitBytes: config.cacheLimit,
    proxy: proxyOption(config.proxy),
  }
}
