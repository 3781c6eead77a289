import type { KvTools } from '@deos/codec'
import type { CacheLab, ContextCache } from './cache-lab.ts'
import { type FittedBasis, fitChannelModels, fitGroups, SINK_TOKENS } from './calibrate.ts'
import { type Method, perGroup, perLayer } from './ladder.ts'
import type { Plan } from './plans.ts'

/** Layers from `first` in groups of `size`. */
function groupsOf(first: number, layers: number, size: number): readonly (readonly number[])[] {
  const groups: number[][] = []
  for (let start = first; start < layers; start += size)
    groups.push(Array.from({ length: Math.min(size, layers - start) }, (_, index) => start + index))
  return groups
}

/** Every level, with the bases of each family. */
export function buildLadder(
  lab: CacheLab,
  caches: readonly ContextCache[],
  weights: ReadonlyMap<string, number>,
  { groupSize, steps }: Plan,
  progress: (line: string) => void,
) {
  const tools: KvTools = { rotary: lab.rotary }
  const { set, bytes: modelBytes } = fitChannelModels(lab, caches)
  const fit = (name: keyof typeof steps, size: number, withTokens: boolean) => {
    progress(`fitting bases for ${name}`)
    const groups = groupsOf(withTokens ? 1 : 0, lab.layers, size)
    return fitGroups(lab, caches, weights, groups, withTokens, steps[name][0])
  }
  const families: Readonly<Record<string, readonly FittedBasis[]>> = {
    l3: fit('l3', 1, false),
    l4: fit('l4', groupSize.l4, false),
    l4tokens: fit('l4tokens', groupSize.l4tokens, true),
  }
  const methods: Method[] = [
    perLayer(lab, 'l0', { name: 'lossless' }, { ...tools, ...set }, modelBytes),
    perLayer(lab, 'l0plain', { name: 'lossless' }, tools),
    perLayer(lab, 'l1', { name: 'int8' }, tools),
    perLayer(lab, 'l2', { name: 'hadamard4' }, tools),
    ...(['l3', 'l4', 'l4tokens'] as const).flatMap((family) =>
      steps[family].map((step) => perGroup(lab, family, families[family]!, step, SINK_TOKENS, tools)),
    ),
  ]
  const bases = Object.entries(families).map(([name, fitted]) => ({
    name,
    bytes: fitted.map(({ bytes }) => bytes.length),
    rank: fitted.map(({ basis }) => basis.rank),
  }))
  return { methods, families, bases }
}
