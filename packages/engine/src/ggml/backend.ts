import { type Bytes, bytes, DomainError } from '@deos/domain'
import koffi from 'koffi'
import { type Ggml, loadGgml, NativeLibraryError, type Pointer } from './library.ts'

export type DeviceKind = 'cpu' | 'gpu' | 'integrated-gpu' | 'accelerator'

/** A compute device as ggml reports it. */
export interface Device {
  /** Stable on one machine: `CPU`, `CUDA0`, `Vulkan1`, … */
  readonly name: string
  readonly description: string
  readonly kind: DeviceKind
  readonly memoryFree: Bytes
  readonly memoryTotal: Bytes
}

export class UnknownDeviceError extends DomainError {
  readonly code = 'UNKNOWN_DEVICE'
  readonly retriable = false
}

const kinds: readonly DeviceKind[] = ['cpu', 'gpu', 'integrated-gpu', 'accelerator']

function devicePointers(ggml: Ggml): readonly Pointer[] {
  return Array.from({ length: ggml.deviceCount() }, (_, index) => ggml.deviceGet(index))
}

function describeDevice(ggml: Ggml, device: Pointer): Device {
  const free = [0]
  const total = [0]
  ggml.deviceMemory(device, free, total)
  return {
    name: ggml.deviceName(device),
    description: ggml.deviceDescription(device),
    kind: kinds[ggml.deviceType(device)] ?? 'accelerator',
    memoryFree: bytes(free[0] ?? 0),
    memoryTotal: bytes(total[0] ?? 0),
  }
}

/** Every device that a loaded backend found. */
export function listDevices(): readonly Device[] {
  const ggml = loadGgml()
  return devicePointers(ggml).map((device) => describeDevice(ggml, device))
}

const setThreads = koffi.proto('void deos_set_threads(void *backend, int threads)')
const extraBufferTypes = koffi.proto('void *deos_extra_buffer_types(void *device)')
const threadpoolNew = koffi.proto('void *deos_threadpool_new(void *params)')
const threadpoolFree = koffi.proto('void deos_threadpool_free(void *pool)')
const setThreadpool = koffi.proto('void deos_set_threadpool(void *backend, void *pool)')

const MAX_THREADS = 512

/**
 * How long idle threads spin before they sleep. ggml's default of 50 burns about 180 ms of every core after each
 * graph, which neighbours on the same machine pay for; 1 burns about 5 ms.
 */
const POLL_LEVEL = 1

/** `ggml_threadpool_params`: no CPU mask, normal priority, a short poll before threads sleep, running at once. */
function threadpoolParams(threads: number): Uint8Array {
  const params = new Uint8Array(MAX_THREADS + 16)
  const view = new DataView(params.buffer)
  view.setInt32(MAX_THREADS, threads, true)
  view.setInt32(MAX_THREADS + 4, 0, true)
  view.setUint32(MAX_THREADS + 8, POLL_LEVEL, true)
  return params
}

export interface BackendOptions {
  /** As {@link listDevices} names it; default is the CPU. */
  readonly deviceName?: string
  /** CPU threads; with more threads than free cores ggml slows 10–70×. */
  readonly threads: number
  /**
   * Compute on the calling thread. Only for a process whose event loop has nothing else to do: it saves the hop to
   * a pool thread and back, tens of microseconds on an idle machine and half a millisecond on a busy one.
   */
  readonly inline?: boolean
}

/** One device ready to compute. Computing runs on another thread unless asked otherwise; all else is quick. */
export class Backend {
  private threadpool: Pointer | null = null
  private readonly registry: Pointer

  private constructor(
    readonly ggml: Ggml,
    readonly device: Device,
    private readonly devicePointer: Pointer,
    readonly pointer: Pointer,
    private readonly inline: boolean,
  ) {
    this.registry = ggml.deviceRegistry(devicePointer)
  }

  /** @throws UnknownDeviceError */
  static open({ deviceName, threads, inline = false }: BackendOptions): Backend {
    const ggml = loadGgml()
    if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS) {
      throw new RangeError(`Threads must be a whole number from 1 to ${MAX_THREADS}, got ${threads}.`)
    }
    const found = devicePointers(ggml).find((device) =>
      deviceName === undefined ? ggml.deviceType(device) === 0 : ggml.deviceName(device) === deviceName,
    )
    if (!found) {
      const names = devicePointers(ggml).map((device) => ggml.deviceName(device))
      throw new UnknownDeviceError(
        `There is no device ${deviceName ?? 'of kind cpu'} on this machine.`,
        `Choose one of ${names.join(', ')}.`,
      )
    }
    const pointer = ggml.deviceInit(found, null)
    if (!pointer) {
      throw new NativeLibraryError(
        `${ggml.deviceName(found)} could not be initialised.`,
        'See "deos doctor"; another process may hold the device.',
      )
    }
    const backend = new Backend(ggml, describeDevice(ggml, found), found, pointer, inline)
    if (backend.device.kind === 'cpu') backend.useThreads(threads)
    return backend
  }

  get bufferType(): Pointer {
    return this.ggml.backendDefaultBufferType(this.pointer)
  }

  /** Whether tensors of this backend lie in ordinary memory, so that mapped files can be used in place. */
  get isHost(): boolean {
    return this.ggml.bufferTypeIsHost(this.bufferType)
  }

  /** Buffer types that rearrange weights at load for faster kernels (CPU repacking). */
  get repackingBufferTypes(): readonly Pointer[] {
    const proc = this.proc('ggml_backend_dev_get_extra_bufts')
    if (!proc) return []
    const list = koffi.call(proc, extraBufferTypes, this.devicePointer) as bigint | null
    const found: Pointer[] = []
    for (let index = 0; list; index += 1) {
      const entry = koffi.decode(list, index * 8, 'void *') as bigint | null
      if (!entry) break
      found.push(entry as Pointer)
    }
    return found
  }

  supports(operation: Pointer): boolean {
    return this.ggml.deviceSupportsOp(this.devicePointer, operation)
  }

  /** Runs a graph. */
  compute(graph: Pointer): Promise<void> {
    if (this.inline) return settleStatus(this.ggml.graphCompute(this.pointer, graph))
    return new Promise((resolve, reject) => {
      this.ggml.graphCompute.async(this.pointer, graph, (error: unknown, status: number) => {
        if (error) reject(error instanceof Error ? error : new Error(String(error)))
        else settleStatus(status).then(resolve, reject)
      })
    })
  }

  close(): void {
    this.ggml.backendFree(this.pointer)
    const free = this.proc('ggml_threadpool_free')
    if (this.threadpool && free) koffi.call(free, threadpoolFree, this.threadpool)
    this.threadpool = null
  }

  private proc(name: string): Pointer | null {
    return this.ggml.registryProc(this.registry, name) || null
  }

  /** Keeps the threads alive between graphs: starting them anew costs tens of microseconds a step. */
  private useThreads(threads: number): void {
    const set = this.proc('ggml_backend_set_n_threads')
    if (set) koffi.call(set, setThreads, this.pointer, threads)
    const create = this.proc('ggml_threadpool_new')
    const attach = this.proc('ggml_backend_cpu_set_threadpool')
    if (threads === 1 || !create || !attach) return
    this.threadpool = koffi.call(create, threadpoolNew, threadpoolParams(threads)) as Pointer
    koffi.call(attach, setThreadpool, this.pointer, this.threadpool)
  }
}

function settleStatus(status: number): Promise<void> {
  if (status === 0) return Promise.resolve()
  return Promise.reject(new Error(`ggml could not compute the graph (status ${status}).`))
}
