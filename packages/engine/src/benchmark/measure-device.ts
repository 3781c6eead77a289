import { Backend } from '../ggml/backend.ts'
import type { TensorType } from '../ggml/tensor-type.ts'
import { MatrixChain } from './matrix-chain.ts'

export interface DeviceMeasurement {
  /** Bytes of weights that pass through a token's matrix products in a second. */
  readonly weightBytesPerSecond: number
  /** Of a long prompt's matrix products, by type of the weights; a multiplication and an addition are two. */
  readonly flopsPerSecond: Readonly<Record<string, number>>
  /** Between host and device, both ways; null where weights lie in the host's own memory. */
  readonly hostBytesPerSecond: number | null
}

export interface DeviceMeasurementOptions {
  /** As `listDevices` names it. */
  readonly device: string
  readonly threads: number
  /** What the measurement may take of the device's memory. */
  readonly memoryBytes: number
}

const MiB = 2 ** 20
const promptTypes: readonly TensorType[] = ['F16', 'Q8_0', 'Q4_K']

interface Sizes {
  readonly width: number
  /** Of the weights a token passes: far more than caches hold. */
  readonly decodeBytes: number
  readonly promptMatrices: number
  readonly longestPrompt: number
}

const onCpu: Sizes = { width: 2048, decodeBytes: 512 * MiB, promptMatrices: 1, longestPrompt: 512 }
const onGpu: Sizes = { width: 8192, decodeBytes: 2048 * MiB, promptMatrices: 2, longestPrompt: 2048 }

const FEWEST_MATRICES = 4
const SHORT_PROMPT = 32
const REPEAT_MS = 250
/** A prompt of which one pass takes longer is made shorter. */
const LONGEST_PASS_MS = 300
const TRANSFER_BYTES = 256 * MiB

/**
 * Measures what decides how fast a device runs stages; takes a second or two. It computes on the calling thread, and
 * native code may end the process.
 *
 * @throws UnknownDeviceError; RangeError if the memory is not enough
 */
export async function measureDevice(options: DeviceMeasurementOptions): Promise<DeviceMeasurement> {
  const { device, threads, memoryBytes } = options
  const backend = Backend.open({ deviceName: device, threads, inline: true })
  try {
    const sizes = backend.device.kind === 'cpu' ? onCpu : onGpu
    const weightBytesPerSecond = await decodeRate(backend, sizes, memoryBytes)
    const flopsPerSecond: Record<string, number> = {}
    for (const type of promptTypes) flopsPerSecond[type] = await promptRate(backend, sizes, type)
    const hostBytesPerSecond = backend.isHost ? null : transferRate(backend, memoryBytes)
    return { weightBytesPerSecond, flopsPerSecond, hostBytesPerSecond }
  } finally {
    backend.close()
  }
}

async function withChain<T>(chain: MatrixChain, use: (chain: MatrixChain) => Promise<T>): Promise<T> {
  try {
    return await use(chain)
  } finally {
    chain.close()
  }
}

function decodeRate(backend: Backend, sizes: Sizes, memoryBytes: number): Promise<number> {
  const { width, decodeBytes } = sizes
  const type = 'Q8_0'
  const matrixBytes = (width * width * 34) / 32
  const count = Math.max(FEWEST_MATRICES, Math.floor(Math.min(decodeBytes, memoryBytes) / matrixBytes))
  return withChain(new MatrixChain(backend, { type, width, count }), async (chain) => {
    const passMs = await chain.measure(1, REPEAT_MS)
    return (chain.weightBytes * 1000) / passMs
  })
}

function promptRate(backend: Backend, sizes: Sizes, type: TensorType): Promise<number> {
  const { width, promptMatrices: count, longestPrompt } = sizes
  return withChain(new MatrixChain(backend, { type, width, count }), async (chain) => {
    const shortMs = await chain.measure(SHORT_PROMPT, 0)
    const affordable = Math.floor((LONGEST_PASS_MS / shortMs) * SHORT_PROMPT)
    const tokens = Math.max(SHORT_PROMPT, Math.min(longestPrompt, 2 ** Math.floor(Math.log2(affordable))))
    const passMs = await chain.measure(tokens, REPEAT_MS)
    return (2 * width * width * count * tokens * 1000) / passMs
  })
}

/** There and back. */
function transferRate(backend: Backend, memoryBytes: number): number {
  const { ggml } = backend
  const sizeBytes = Math.min(TRANSFER_BYTES, Math.floor(memoryBytes / MiB) * MiB)
  const context = ggml.init({ mem_size: ggml.tensorOverhead() * 2, mem_buffer: null, no_alloc: true })
  const tensor = ggml.newTensor1d(context, 0, sizeBytes / Float32Array.BYTES_PER_ELEMENT)
  const buffer = ggml.bufferTypeAlloc(backend.bufferType, sizeBytes)
  try {
    if (!buffer) throw new RangeError(`${sizeBytes} bytes do not fit on ${backend.device.name}.`)
    ggml.tensorAlloc(buffer, tensor, ggml.bufferBase(buffer))
    const data = new Uint8Array(sizeBytes).fill(1)
    ggml.tensorSet(tensor, data, 0, sizeBytes)
    const startMs = performance.now()
    ggml.tensorSet(tensor, data, 0, sizeBytes)
    ggml.tensorGet(tensor, data, 0, sizeBytes)
    return (2 * sizeBytes * 1000) / (performance.now() - startMs)
  } finally {
    if (buffer) ggml.bufferFree(buffer)
    ggml.free(context)
  }
}
