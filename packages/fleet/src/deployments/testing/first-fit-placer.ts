import { bytes, ms, type PlacementCandidate, type Placer, type StagePlacement } from '@deos/domain'

/** Fills the largest devices one after another, those to be avoided last: as little as a placer can do. */
export const firstFitPlacer: Placer = {
  place({ model, kvTokens, regions, providers, avoid }, { candidates }) {
    const count = model.layerBytes.length
    const kvLayer = model.kvBytesPerLayer * kvTokens
    const shunned = ({ machine }: PlacementCandidate) => Number(avoid.includes(machine))
    const allowed = candidates
      .filter(({ location }) => regions?.includes(location.region) ?? true)
      .filter(({ location }) => providers?.includes(location.provider) ?? true)
      .toSorted(
        (a, b) => shunned(a) - shunned(b) || b.freeBytes - a.freeBytes || a.machine.localeCompare(b.machine),
      )
    const stages: StagePlacement[] = []
    let first = 0
    for (const { machine, device, location, freeBytes } of allowed) {
      let end = first
      let weight = first === 0 ? model.embeddingBytes : 0
      for (; end < count; end += 1) {
        const more = model.layerBytes[end]! + (end === count - 1 ? model.headBytes : 0)
        if (weight + more + (end + 1 - first) * kvLayer > freeBytes) break
        weight = bytes(weight + more)
      }
      if (end === first) continue
      const kvBytes = bytes((end - first) * kvLayer)
      const layers = { first, end }
      stages.push({ machine, device, location, layers, weightBytes: bytes(weight), kvBytes, decodeMs: ms(1) })
      first = end
      if (end === count)
        return { placement: { stages, tokenMs: ms(stages.length), reasons: ['first fit'] }, reasons: [] }
    }
    return { placement: null, reasons: [`${first} of ${count} layers have a place.`] }
  },
}
