import { seededRandom } from '@deos/domain'
import {
  deeperStages,
  type FlowInstance,
  type FlowPlacement,
  flowOfPlacement,
  petalsPlacement,
  searchPlacement,
  separatePipelines,
  swarmPlacement,
} from '@deos/planner'

const shares = [0, 0.3, 0.5, 0.6, 0.75, 0.9, 1]
/** How much slower links between sites are taken to be while candidates are searched, to make crossings rare. */
const crossings = [1, 0.5]
const slowLink = 5000

/**
 * Placements to begin with: the largest flows with shallow and with deep stages, over all machines and over those of each
 * kind apart, and what simple rules give.
 */
export function candidatesOf(instance: FlowInstance, evaluations: number): readonly FlowPlacement[] {
  const slowed = (factor: number): FlowInstance => ({
    ...instance,
    links: instance.links.map((link) =>
      link.tokensPerSecond < slowLink ? { ...link, tokensPerSecond: link.tokensPerSecond * factor } : link,
    ),
  })
  const hasSites = instance.links.some((link) => link.tokensPerSecond < slowLink)
  const searched = shares.flatMap((share) =>
    (hasSites ? crossings : [1]).map(
      (factor) =>
        searchPlacement(deeperStages(slowed(factor), share), { evaluations, random: seededRandom(1) })
          .placement,
    ),
  )
  const apart = shares.map((share) => kindsApart(instance, share, evaluations))
  const baselines = [separatePipelines(instance), swarmPlacement(instance), petalsPlacement(instance)]
  const able = new Set<string>()
  return [...searched, ...apart, ...baselines].filter((placement): placement is FlowPlacement => {
    if (placement === null || able.has(JSON.stringify(placement))) return false
    able.add(JSON.stringify(placement))
    return flowOfPlacement(instance, placement).tokensPerSecond > 0
  })
}

/** Machines of each kind serve by themselves, as far as they can hold the model; null if none can. */
export function kindsApart(instance: FlowInstance, share: number, evaluations: number): FlowPlacement | null {
  const { layers, devices, links } = instance
  const placement = devices.map((): FlowPlacement[number] => null)
  for (const kind of new Set(devices.map((device) => device.kind))) {
    const members = devices.flatMap((device, at) => (device.kind === kind ? [at] : []))
    const place = new Map(members.map((device, at) => [device, at]))
    const own: FlowInstance = {
      layers,
      devices: members.map((device) => devices[device]!),
      links: links.flatMap(({ from, to, tokensPerSecond }) => {
        const start = from === 'source' ? from : place.get(from)
        const end = to === 'sink' ? to : place.get(to)
        return start === undefined || end === undefined ? [] : [{ from: start, to: end, tokensPerSecond }]
      }),
    }
    const found = searchPlacement(deeperStages(own, share), { evaluations, random: seededRandom(1) })
    if (found.tokensPerSecond === 0) continue
    for (const [at, device] of members.entries()) placement[device] = found.placement[at]!
  }
  return placement.some((range) => range !== null) ? placement : null
}
