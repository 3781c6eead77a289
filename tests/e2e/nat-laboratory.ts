import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'

/** Two private networks behind routers that translate addresses and drop what nobody asked for. */
export interface NatLaboratory {
  /** Names of network namespaces. */
  readonly left: string
  readonly right: string
  /** Address of this process in the public network, which all reach. */
  readonly host: string
  close(): void
}

const tool = (command: string, ...args: string[]): void => {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

/** What keeps this process from making one; `null` if nothing does. */
export function whyNoLaboratory(): string | null {
  const name = `deos-try-${process.pid}`
  if (spawnSync('ip', ['netns', 'add', name]).status !== 0)
    return 'network namespaces need root and the tool "ip"'
  try {
    const nft = spawnSync('ip', [
      ...['netns', 'exec', name, 'nft'],
      'add table ip t; add chain ip t c { type nat hook postrouting priority 100; }; add rule ip t c masquerade',
    ])
    return nft.status === 0 ? null : 'address translation needs the tool "nft" and its kernel modules'
  } finally {
    spawnSync('ip', ['netns', 'del', name])
  }
}

/** Rules of a common home router: it masquerades, and drops what comes in unasked. */
const router = (outside: string): string => `
table ip nat {
  chain post { type nat hook postrouting priority 100; oifname "${outside}" masquerade; }
}
table ip filter {
  chain in { type filter hook input priority 0; policy accept; ct state established,related accept; iifname "${outside}" drop; }
  chain forward { type filter hook forward priority 0; policy accept; ct state established,related accept; iifname "${outside}" drop; }
}`

export function natLaboratory(): NatLaboratory {
  const id = randomBytes(2).toString('hex')
  const names: string[] = []
  const space = (part: string): string => {
    const name = `deos-${id}-${part}`
    tool('ip', 'netns', 'add', name)
    names.push(name)
    tool('ip', '-n', name, 'link', 'set', 'lo', 'up')
    return name
  }
  /** A cable between two namespaces. */
  const cable = (a: string, aEnd: string, aAt: string, b: string, bEnd: string, bAt: string): void => {
    tool('ip', 'link', 'add', aEnd, 'netns', a, 'type', 'veth', 'peer', 'name', bEnd, 'netns', b)
    for (const [name, end, at] of [
      [a, aEnd, aAt],
      [b, bEnd, bAt],
    ] as const) {
      tool('ip', '-n', name, 'addr', 'add', at, 'dev', end)
      tool('ip', '-n', name, 'link', 'set', end, 'up')
    }
  }
  const internet = space('net')
  tool('ip', 'netns', 'exec', internet, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
  const home = (side: string, number: number): string => {
    const gate = space(`${side}gate`)
    const inside = space(side)
    cable(
      gate,
      'wan',
      `203.0.113.${number * 4 + 2}/30`,
      internet,
      `to${side}`,
      `203.0.113.${number * 4 + 1}/30`,
    )
    cable(inside, 'eth', `192.168.${number}.2/24`, gate, 'lan', `192.168.${number}.1/24`)
    tool('ip', '-n', gate, 'route', 'add', 'default', 'via', `203.0.113.${number * 4 + 1}`)
    tool('ip', '-n', inside, 'route', 'add', 'default', 'via', `192.168.${number}.1`)
    tool('ip', 'netns', 'exec', gate, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
    execFileSync('ip', ['netns', 'exec', gate, 'nft', '-f', '-'], { input: router('wan') })
    return inside
  }
  try {
    const left = home('left', 1)
    const right = home('right', 2)
    const own = `deos-${id}`
    tool('ip', 'link', 'add', own, 'type', 'veth', 'peer', 'name', 'todeos', 'netns', internet)
    tool('ip', '-n', internet, 'addr', 'add', '198.51.100.2/30', 'dev', 'todeos')
    tool('ip', '-n', internet, 'link', 'set', 'todeos', 'up')
    tool('ip', 'addr', 'add', '198.51.100.1/30', 'dev', own)
    tool('ip', 'link', 'set', own, 'up')
    tool('ip', 'route', 'add', '203.0.113.0/24', 'via', '198.51.100.2')
    return { left, right, host: '198.51.100.1', close: () => closeAll(names) }
  } catch (error) {
    closeAll(names)
    throw error
  }
}

function closeAll(names: readonly string[]): void {
  for (const name of names) spawnSync('ip', ['netns', 'del', name])
}
