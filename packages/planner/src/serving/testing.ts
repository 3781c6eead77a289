import type { Random } from '@deos/domain'
import type { FlowDevice, FlowInstance, FlowLink } from './flow/flow-instance.ts'

/** Every device linked to every other, and to source and sink, at one capacity. */
export function fullyLinked(
  layers: number,
  devices: readonly FlowDevice[],
  tokensPerSecond = 1e6,
): FlowInstance {
  const links: FlowLink[] = devices.flatMap((_, from) => [
    { from: 'source' as const, to: from, tokensPerSecond },
    { from, to: 'sink' as const, tokensPerSecond },
    ...devices.flatMap((__, to) => (from === to ? [] : [{ from, to, tokensPerSecond }])),
  ])
  return { layers, devices, links }
}

/** A device whose rate falls with its layers: `perLayer / n`, up to `most` layers. */
export function plainDevice(kind: string, perLayer: number, most: number, index = 0): FlowDevice {
  return {
    name: `${kind}-${index}`,
    kind,
    tokensPerSecondByLayers: Array.from({ length: most }, (_, at) => perLayer / (at + 1)),
  }
}

/** A fleet of two to four kinds, of which some pairs of devices have slow links. */
export function randomInstance(random: Random, mostDevices: number): FlowInstance {
  const below = (count: number) => Math.floor(random.next() * count)
  const layers = 4 + below(20)
  const kinds = Array.from({ length: 2 + below(3) }, (_, kind) => ({
    kind: `k${kind}`,
    perLayer: 1000 * 2 ** (random.next() * 5),
    most: 2 + below(layers),
  }))
  const devices = Array.from({ length: 2 + below(mostDevices - 1) }, (_, index) => {
    const { kind, perLayer, most } = kinds[below(kinds.length)]!
    return plainDevice(kind, perLayer, most, index)
  })
  const regions = devices.map(() => below(3))
  const slow = 200 + random.next() * 2000
  const full = fullyLinked(layers, devices)
  return {
    ...full,
    links: full.links.map((link) =>
      typeof link.from === 'number' && typeof link.to === 'number' && regions[link.from] !== regions[link.to]
        ? { ...link, tokensPerSecond: slow }
        : link,
    ),
  }
}
