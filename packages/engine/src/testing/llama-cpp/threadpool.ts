import koffi from 'koffi'
import type { Ggml } from '../../ggml/library.ts'
import type { Pointer } from './structs.ts'

const params = koffi.struct({
  cpumask: koffi.array('bool', 512),
  n_threads: 'int',
  prio: 'int',
  poll: 'uint32_t',
  strict_cpu: 'bool',
  paused: 'bool',
})
const create = koffi.proto('void *', [koffi.pointer(params)])
const destroy = koffi.proto('void', ['void *'])

/**
 * How long threads spin for the next graph before they sleep, some 4 ms: longer than any gap between steps, and short
 * enough not to take cores from whatever is measured next. ggml's default, 50, is some 180 ms.
 */
const briefPoll = 1

/** Threads that outlive a graph, as llama.cpp's own tools attach to a context; without them each graph starts its own. */
export interface Threadpool {
  readonly pointer: Pointer
  free(): void
}

/** `null` where one thread computes anyway. */
export function newThreadpool(ggml: Ggml, threads: number): Threadpool | null {
  if (threads === 1) return null
  const cpu = Array.from({ length: ggml.deviceCount() }, (_, index) => ggml.deviceGet(index)).find(
    (device) => ggml.deviceType(device) === 0,
  )
  if (cpu === undefined) return null
  const registry = ggml.deviceRegistry(cpu)
  const [make, free] = ['ggml_threadpool_new', 'ggml_threadpool_free'].map((name) =>
    ggml.registryProc(registry, name),
  )
  if (!make || !free) return null
  const cpumask = new Array<boolean>(512).fill(false)
  const settings = { cpumask, n_threads: threads, prio: 0, poll: briefPoll, strict_cpu: false, paused: false }
  const pointer = koffi.call(make, create, settings) as Pointer | null
  return pointer === null ? null : { pointer, free: () => koffi.call(free, destroy, pointer) }
}
