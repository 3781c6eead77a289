import type { FlowInstance, FlowPlacement } from '../flow/flow-instance.ts'

/** An instance whose devices stand in an order that does not depend on how they were listed. */
export interface CanonicalInstance {
  readonly instance: FlowInstance
  /** A placement of the listed devices for the ordered ones. */
  from(placement: FlowPlacement): FlowPlacement
  /** And back. */
  back(placement: FlowPlacement): FlowPlacement
}

/** Devices by kind, then by name: a search that draws devices by number finds the same for every listing. */
export function inCanonicalOrder({ layers, devices, links }: FlowInstance): CanonicalInstance {
  const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
  const order = devices
    .map((_, device) => device)
    .sort(
      (a, b) =>
        compare(devices[a]!.kind, devices[b]!.kind) || compare(devices[a]!.name, devices[b]!.name) || a - b,
    )
  const place = new Array<number>(devices.length)
  for (const [at, device] of order.entries()) place[device] = at
  return {
    instance: {
      layers,
      devices: order.map((device) => devices[device]!),
      links: links.map(({ from, to, tokensPerSecond }) => ({
        from: from === 'source' ? from : place[from]!,
        to: to === 'sink' ? to : place[to]!,
        tokensPerSecond,
      })),
    },
    from: (placement) => order.map((device) => placement[device]!),
    back: (placement) => place.map((at) => placement[at]!),
  }
}
