import { companions } from '../architectures/companions.ts'
import type { TensorInfo } from '../weights/model-source.ts'

/** Where a weight lies. */
export interface PlacedWeight {
  readonly info: Pick<TensorInfo, 'name' | 'type' | 'shape' | 'sizeBytes'>
  /** Buffer of the backend. */
  readonly buffer: bigint
  readonly address: bigint
  /** Whether its rows, or small groups of them, lie where they would if the matrix began with some others. */
  readonly keepsRows: boolean
}

/** Companions of a layer whose rows follow one another without a gap, in that order. */
export interface CompanionRun<P extends PlacedWeight = PlacedWeight> {
  /** `blk.0` */
  readonly layer: string
  readonly members: readonly { readonly matrix: string; readonly placed: P }[]
}

const layerMatrix = /^(?<layer>blk\.\d+)\.(?<matrix>\w+)\.weight$/

const ranks: ReadonlyMap<string, number> = new Map(
  Object.values(companions)
    .flat()
    .map((matrix, rank) => [matrix, rank]),
)

/** The weights in an order in which they can be stored: companions one after the other, the rest as before. */
export function companionsTogether(infos: readonly TensorInfo[]): readonly TensorInfo[] {
  const layers = new Map<string, TensorInfo[]>()
  for (const info of infos) {
    const layer = layerMatrix.exec(info.name)?.groups?.layer ?? ''
    layers.set(layer, [...(layers.get(layer) ?? []), info])
  }
  const rank = ({ name }: TensorInfo) => ranks.get(layerMatrix.exec(name)?.groups?.matrix ?? '') ?? ranks.size
  return [...layers.values()].flatMap((own) => own.toSorted((a, b) => rank(a) - rank(b)))
}

/** Every run of two or more companions that can be multiplied as one matrix. */
export function companionRuns<P extends PlacedWeight>(placed: ReadonlyMap<string, P>): CompanionRun<P>[] {
  const layers = new Set([...placed.keys()].map((name) => layerMatrix.exec(name)?.groups?.layer))
  return [...layers]
    .filter((layer) => layer !== undefined)
    .flatMap((layer) =>
      Object.values(companions).flatMap((matrices) => {
        const members = matrices.flatMap((matrix) => {
          const found = placed.get(`${layer}.${matrix}.weight`)
          return found ? [{ matrix, placed: found }] : []
        })
        return runsOf(members)
          .filter((run) => run.length > 1)
          .map((run) => ({ layer, members: run }))
      }),
    )
}

interface Member<P> {
  readonly matrix: string
  readonly placed: P
}

function runsOf<P extends PlacedWeight>(members: readonly Member<P>[]): Member<P>[][] {
  const runs: Member<P>[][] = []
  for (const member of members.toSorted((a, b) => (a.placed.address < b.placed.address ? -1 : 1))) {
    const run = runs.at(-1)
    if (run && continues(run.at(-1)!.placed, member.placed)) run.push(member)
    else runs.push([member])
  }
  return runs
}

function continues(before: PlacedWeight, after: PlacedWeight): boolean {
  const alike =
    before.info.type === after.info.type &&
    before.info.shape[0] === after.info.shape[0] &&
    before.keepsRows &&
    after.keepsRows
  const isNext = before.address + BigInt(before.info.sizeBytes) === after.address
  return alike && before.buffer === after.buffer && isNext
}
