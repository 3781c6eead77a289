import { GiB } from '@deos/domain'
import { UnknownAcceleratorError } from './errors.ts'

/** What a vendor publishes of one accelerator. Link rates are one way. */
export interface Accelerator {
  readonly name: string
  readonly vendor: string
  readonly memoryGiB: number
  readonly memoryGBs: number
  readonly fp32Tflops: number | null
  /** Products in fp16 or bf16, accumulated in fp32. */
  readonly fp16Tflops: number | null
  readonly fp8Tflops: number | null
  readonly int8Tops: number | null
  /** Between neighbours in one machine; `null` if they talk over the host's bus. */
  readonly peerLinkGBs: number | null
  readonly hostLinkGBs: number | null
  readonly powerW: number | null
  /** The vendor's document. */
  readonly source: string
  readonly note: string
}

/** @throws UnknownAcceleratorError naming those that are nearly called so */
export function findAccelerator(catalogue: readonly Accelerator[], name: string): Accelerator {
  const wanted = plain(name)
  const found =
    catalogue.find((each) => plain(each.name) === wanted) ??
    onlyOne(catalogue.filter((each) => plain(each.name).startsWith(wanted)))
  if (found !== undefined) return found
  const near = catalogue.filter((each) => plain(each.name).includes(wanted.slice(0, 4)))
  throw new UnknownAcceleratorError(
    name,
    near.map((each) => each.name),
  )
}

const plain = (name: string): string =>
  name.toLowerCase().replace(/^(nvidia|amd|intel|apple)\b|[^a-z0-9]/g, '')
const onlyOne = <T>(items: readonly T[]): T | undefined => (items.length === 1 ? items[0] : undefined)

/** Equal for accelerators that are alike in all figures; names alone may stand for several where a fleet gives its own. */
export const keyOfAccelerator = (each: Accelerator): string =>
  JSON.stringify([
    each.name,
    ...[each.memoryGiB, each.memoryGBs, each.fp32Tflops, each.fp16Tflops, each.fp8Tflops, each.int8Tops],
    ...[each.peerLinkGBs, each.hostLinkGBs],
  ])

export const memoryBytes = ({ memoryGiB }: Accelerator): number => memoryGiB * GiB

/** Number formats of products. */
export type NumberFormat = 'fp32' | 'fp16' | 'fp8' | 'int8'

/** Peak FLOP/s; where the format is not there, of the next wider one that is. */
export function peakFlops(device: Accelerator, format: NumberFormat): number {
  const { fp32Tflops, fp16Tflops, fp8Tflops, int8Tops } = device
  const half = fp16Tflops ?? fp32Tflops
  const rates = { fp32: fp32Tflops ?? fp16Tflops, fp16: half, fp8: fp8Tflops ?? half, int8: int8Tops ?? half }
  const rate = rates[format]
  if (rate === null) throw new Error(`The catalogue has no rate at all for ${device.name}.`)
  return rate * 1e12
}
