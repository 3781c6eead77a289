import type { Random } from '@deos/domain'
import type { FlowEvaluator } from './flow-evaluator.ts'

/** Random changes of a placement, in place. */
export class PlacementMoves {
  constructor(
    private readonly evaluator: FlowEvaluator,
    private readonly random: Random,
  ) {}

  /** @returns false if the change drawn was not possible; the arrays may then have changed in part */
  apply(first: Int32Array, end: Int32Array): boolean {
    const kind = this.random.next()
    if (kind < 0.3) return this.shiftBoundaries(first, end)
    if (kind < 0.45) return this.swap(first, end)
    if (kind < 0.6) return this.copy(first, end)
    if (kind < 0.97) return this.replace(first, end)
    return this.mirror(first, end)
  }

  private below(count: number): number {
    return Math.floor(this.random.next() * count)
  }

  private most(device: number): number {
    return this.evaluator.rates[device]!.length - 1
  }

  private fits(device: number, count: number): boolean {
    return count > 0 && count <= this.most(device)
  }

  /** A range of boundaries moves by one layer: one side grows, the other shrinks, what lies between travels. */
  private shiftBoundaries(first: Int32Array, end: Int32Array): boolean {
    const { layers, devices } = this.evaluator
    const edge = (device: number) => (this.random.next() < 0.5 ? first[device]! : end[device]!)
    const one = edge(this.below(devices))
    const other = this.random.next() < 0.4 ? one : edge(this.below(devices))
    const from = Math.max(1, Math.min(one, other))
    const to = Math.min(layers - 1, Math.max(one, other))
    const by = this.random.next() < 0.5 ? 1 : -1
    if (from > to) return false
    for (let device = 0; device < devices; device += 1) {
      let start = first[device]!
      let stop = end[device]!
      if (start === stop) continue
      if (start >= from && start <= to) start += by
      if (stop >= from && stop <= to) stop += by
      if (!this.fits(device, stop - start)) return false
      first[device] = start
      end[device] = stop
    }
    return true
  }

  private swap(first: Int32Array, end: Int32Array): boolean {
    const one = this.below(this.evaluator.devices)
    const other = this.below(this.evaluator.devices)
    const oneCount = end[one]! - first[one]!
    const otherCount = end[other]! - first[other]!
    if (one === other || oneCount > this.most(other) || otherCount > this.most(one)) return false
    const start = first[one]!
    const stop = end[one]!
    first[one] = first[other]!
    end[one] = end[other]!
    first[other] = start
    end[other] = stop
    return true
  }

  private copy(first: Int32Array, end: Int32Array): boolean {
    const one = this.below(this.evaluator.devices)
    const other = this.below(this.evaluator.devices)
    const count = end[other]! - first[other]!
    if (one === other || !this.fits(one, count)) return false
    first[one] = first[other]!
    end[one] = end[other]!
    return true
  }

  /** One device goes elsewhere, mostly to where others begin and end. */
  private replace(first: Int32Array, end: Int32Array): boolean {
    const { devices, layers } = this.evaluator
    const device = this.below(devices)
    const start = this.random.next() < 0.85 ? this.boundary(first, end) : this.below(layers)
    if (start >= layers) return false
    const most = Math.min(this.most(device), layers - start)
    let stop = start + 1 + this.below(most)
    if (this.random.next() < 0.7) {
      const other = this.boundary(first, end)
      if (other <= start || other - start > most) return false
      stop = other
    }
    first[device] = start
    end[device] = stop
    return true
  }

  /** The order of the layers between two boundaries turns around: what lies inside keeps its neighbours. */
  private mirror(first: Int32Array, end: Int32Array): boolean {
    const one = this.boundary(first, end)
    const other = this.boundary(first, end)
    const from = Math.min(one, other)
    const to = Math.max(one, other)
    if (from === to) return false
    for (let device = 0; device < this.evaluator.devices; device += 1) {
      const start = first[device]!
      const stop = end[device]!
      if (start === stop || start < from || stop > to) continue
      first[device] = from + to - stop
      end[device] = from + to - start
    }
    return true
  }

  private boundary(first: Int32Array, end: Int32Array): number {
    const device = this.below(this.evaluator.devices)
    return this.random.next() < 0.5 ? first[device]! : end[device]!
  }
}
