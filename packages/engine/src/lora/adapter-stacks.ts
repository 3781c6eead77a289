import type { Backend } from '../ggml/backend.ts'
import type { Tensor } from '../ggml/graph-builder.ts'
import type { Pointer } from '../ggml/library.ts'
import { tensorTypes } from '../ggml/tensor-type.ts'
import type { AdapterWeights, ModuleWeights } from './adapter-weights.ts'
import { AdapterError } from './errors.ts'

/** The changes of one matrix by all loaded adapters: slot after slot, of which slot 0 changes nothing. */
export interface ModuleStack {
  readonly columns: number
  readonly rows: number
  /** `[columns, rank, slots]` F32. */
  readonly a: Tensor
  /** `[rank, rows, slots]` F32. */
  readonly b: Tensor
}

interface Memory {
  readonly context: Pointer
  readonly buffer: Pointer
  readonly modules: ReadonlyMap<string, ModuleStack>
  /** Of the widest adapter; others are filled up with zeros. */
  readonly rank: number
  /** Slot 0 included. */
  readonly slots: number
}

interface LoadedAdapter {
  readonly slot: number
  users: number
}

/** Adapters that nobody uses stay loaded up to this number of all. */
const KEPT_ADAPTERS = 8
const nothing: ReadonlyMap<string, ModuleStack> = new Map()

/**
 * The adapters of one stage in the memory of its backend, laid out so that one operation multiplies each token of a
 * batch with the matrices of its own adapter.
 */
export class AdapterStacks {
  /** Least recently used first. */
  private readonly loaded = new Map<string, LoadedAdapter>()
  private memory: Memory | null = null

  /** @param onMove - called when tensors are about to be freed: graphs that use them must go */
  constructor(
    private readonly backend: Backend,
    private readonly onMove: () => void,
  ) {}

  /** What a graph has to add to the product of a matrix (`blk.0.attn_q`); null if no adapter changes it. */
  module(name: string): ModuleStack | null {
    return this.memory?.modules.get(name) ?? null
  }

  get moduleCount(): number {
    return this.memory?.modules.size ?? 0
  }

  has(name: string): boolean {
    return this.loaded.has(name)
  }

  /** @throws AdapterError if it is not loaded */
  slot(name: string): number {
    return this.get(name).slot
  }

  /** Keeps the adapter loaded until it is released as often. */
  retain(name: string): void {
    const adapter = this.get(name)
    adapter.users += 1
    this.loaded.delete(name)
    this.loaded.set(name, adapter)
  }

  release(name: string): void {
    this.get(name).users -= 1
  }

  /**
   * Loads an adapter, in the place of the one that was not used for longest if there are many.
   *
   * @throws AdapterError if it does not fit on the device beside those that are in use
   */
  add(name: string, weights: AdapterWeights): void {
    if (this.loaded.has(name)) return
    if (this.loaded.size >= KEPT_ADAPTERS) this.evict()
    const slot = this.freeSlot()
    this.reserve(weights, slot)
    for (const [module, stack] of this.memory?.modules ?? nothing) {
      this.write(stack, slot, weights.get(module) ?? null)
    }
    this.loaded.set(name, { slot, users: 0 })
  }

  close(): void {
    if (!this.memory) return
    this.backend.ggml.bufferFree(this.memory.buffer)
    this.backend.ggml.free(this.memory.context)
    this.memory = null
  }

  private get(name: string): LoadedAdapter {
    const adapter = this.loaded.get(name)
    if (adapter) return adapter
    throw new AdapterError(`The adapter ${name} is not loaded.`, 'Load it before it is used.')
  }

  private evict(): void {
    const idle = [...this.loaded].find(([, { users }]) => users === 0)
    if (idle) this.loaded.delete(idle[0])
  }

  private freeSlot(): number {
    const taken = new Set([...this.loaded.values()].map(({ slot }) => slot))
    let slot = 1
    while (taken.has(slot)) slot += 1
    return slot
  }

  /** Sees to it that there is room for the adapter in its slot. */
  private reserve(weights: AdapterWeights, slot: number): void {
    const old = this.memory
    const rank = Math.max(old?.rank ?? 1, ...[...weights.values()].map((module) => module.rank))
    const isRoomy = old !== null && rank === old.rank && slot < old.slots
    if (isRoomy && [...weights.keys()].every((module) => old.modules.has(module))) return
    const shapes = new Map<string, Pick<ModuleStack, 'columns' | 'rows'>>([
      ...(old?.modules ?? nothing),
      ...weights,
    ])
    if (shapes.size === 0) return
    const memory = this.allocate(shapes, rank, Math.max(old?.slots ?? 2, nextPowerOfTwo(slot) + 1))
    if (old) this.move(old, memory)
    this.memory = memory
  }

  private allocate(
    shapes: ReadonlyMap<string, Pick<ModuleStack, 'columns' | 'rows'>>,
    rank: number,
    slots: number,
  ): Memory {
    const { ggml } = this.backend
    const context = ggml.init({
      mem_size: ggml.tensorOverhead() * (2 * shapes.size + 1) + 1024,
      mem_buffer: null,
      no_alloc: true,
    })
    const tensor = (columns: number, rows: number): Tensor => ({
      pointer: ggml.newTensor4d(context, tensorTypes.F32.id, columns, rows, slots, 1),
    })
    const modules = new Map<string, ModuleStack>()
    for (const [name, { columns, rows }] of shapes) {
      modules.set(name, { columns, rows, a: tensor(columns, rank), b: tensor(rank, rows) })
    }
    const buffer = ggml.allocContextTensors(context, this.backend.bufferType)
    if (!buffer) {
      ggml.free(context)
      throw new AdapterError(
        `${slots - 1} adapters of rank ${rank} do not fit on ${this.backend.device.name} beside the model.`,
        'Give adapters of a lower rank, or the model a device with more memory.',
      )
    }
    ggml.bufferClear(buffer, 0)
    return { context, buffer, modules, rank, slots }
  }

  private move(from: Memory, to: Memory): void {
    this.onMove()
    for (const [name, stack] of from.modules) {
      for (const { slot } of this.loaded.values()) {
        this.write(to.modules.get(name)!, slot, this.read(stack, slot, from.rank), to.rank)
      }
    }
    this.backend.ggml.bufferFree(from.buffer)
    this.backend.ggml.free(from.context)
  }

  private read({ columns, rows, a, b }: ModuleStack, slot: number, rank: number): ModuleWeights {
    const weights = {
      columns,
      rows,
      rank,
      a: new Float32Array(rank * columns),
      b: new Float32Array(rows * rank),
    }
    this.backend.ggml.tensorGet(a.pointer, weights.a, slot * weights.a.byteLength, weights.a.byteLength)
    this.backend.ggml.tensorGet(b.pointer, weights.b, slot * weights.b.byteLength, weights.b.byteLength)
    return weights
  }

  private write(
    { columns, rows, a, b }: ModuleStack,
    slot: number,
    weights: ModuleWeights | null,
    rank = this.memory!.rank,
  ): void {
    const wide = { a: new Float32Array(rank * columns), b: new Float32Array(rows * rank) }
    if (weights) {
      wide.a.set(weights.a)
      for (let row = 0; row < rows; row += 1) {
        wide.b.set(weights.b.subarray(row * weights.rank, (row + 1) * weights.rank), row * rank)
      }
    }
    this.backend.ggml.tensorSet(a.pointer, wide.a, slot * wide.a.byteLength, wide.a.byteLength)
    this.backend.ggml.tensorSet(b.pointer, wide.b, slot * wide.b.byteLength, wide.b.byteLength)
  }
}

const nextPowerOfTwo = (count: number): number => 2 ** Math.ceil(Math.log2(count))
