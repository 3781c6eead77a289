import type { MatrixBundle } from '../architectures/architecture.ts'
import type { Backend } from '../ggml/backend.ts'
import type { Tensor } from '../ggml/graph-builder.ts'
import { preferHugePages } from '../ggml/huge-pages.ts'
import type { Ggml, Pointer } from '../ggml/library.ts'
import { MappedFile } from '../ggml/mapped-file.ts'
import type { BytePieces, RankTensor } from '../ranks/rank-weights.ts'
import { newTensor, repackingFor } from './matrix-memory.ts'
import { companionRuns, companionsTogether, type PlacedWeight } from './weight-bundles.ts'

const ALIGNMENT = 32
/** Of tensors copied into one buffer, as ggml aligns them itself. */
const COPY_ALIGNMENT = 64
const USAGE_WEIGHTS = 1

/** ggml's own rearranging buffer type: some rows at a time, each such group in the place it had before. */
const ROWWISE_REPACKING = 'CPU_REPACK'
/** More rows than that buffer type ever takes at a time. */
const REPACKED_ROWS = 64

/** Whether a weight is only ever the left side of a matrix product, so that kernels may rearrange it. */
function isMatrixOperand({ name, shape }: RankTensor): boolean {
  return shape.length >= 2 && name !== 'token_embd.weight' && name.endsWith('.weight')
}

interface Placed extends PlacedWeight {
  readonly tensor: Tensor
}

/**
 * The weights of one stage in the memory of its backend. On a CPU most are the mapped file itself, shared by every
 * process that maps it; types for which ggml has faster rearranged kernels are copied into that arrangement.
 */
export class WeightStore {
  private readonly placed = new Map<string, Placed>()
  private readonly bundles = new Map<string, MatrixBundle>()
  private readonly buffers: Pointer[] = []
  private readonly files = new Map<string, { file: MappedFile; buffer: Pointer | null }>()
  private readonly context: Pointer
  private readonly ggml: Ggml

  private constructor(
    private readonly backend: Backend,
    count: number,
  ) {
    this.ggml = backend.ggml
    this.context = this.ggml.init({
      mem_size: this.ggml.tensorOverhead() * (2 * count + 4) + 4096,
      mem_buffer: null,
      no_alloc: true,
    })
  }

  /**
   * @param infos - ready to map: no pending permutation, offsets 32-byte aligned
   * @param headFromEmbedding - also load `token_embd.weight` as the matrix `output.weight` of a tied head
   */
  static async load(
    backend: Backend,
    infos: readonly RankTensor[],
    { headFromEmbedding }: { headFromEmbedding: boolean },
  ): Promise<WeightStore> {
    const store = new WeightStore(backend, infos.length)
    try {
      await store.add(headFromEmbedding ? infos.flatMap(withTiedHead) : infos)
      return store
    } catch (error) {
      store.close()
      throw error
    }
  }

  get(name: string): Tensor | null {
    return this.placed.get(name)?.tensor ?? null
  }

  /** What the matrix `<layer>.<matrix>.weight` can be multiplied together with; null if it is on its own. */
  bundle(layer: string, matrix: string): MatrixBundle | null {
    return this.bundles.get(`${layer}.${matrix}`) ?? null
  }

  close(): void {
    for (const buffer of this.buffers) this.ggml.bufferFree(buffer)
    for (const { file } of this.files.values()) file.close()
    this.buffers.length = 0
    this.files.clear()
    this.placed.clear()
    this.bundles.clear()
    this.ggml.free(this.context)
  }

  private async add(infos: readonly RankTensor[]): Promise<void> {
    const copied = new Map<Pointer, RankTensor[]>()
    for (const info of infos) {
      const bufferType =
        (isMatrixOperand(info) ? repackingFor(this.backend, info) : null) ?? this.plainCopyFor(info)
      if (bufferType === null) await this.place(info)
      else copied.set(bufferType, [...(copied.get(bufferType) ?? []), info])
    }
    for (const [bufferType, own] of copied) await this.copy(bufferType, own)
    this.bundleCompanions()
    this.closeUnmapped()
  }

  /** Ordinary memory, for a weight that is needed there and cannot be used where it lies in its file. */
  private plainCopyFor({ file, offset, sizeBytes, pieces }: RankTensor): Pointer | null {
    if (!this.backend.isHost) return null
    if (pieces) return this.backend.bufferType
    const address = this.open(file).file.address(offset, sizeBytes)
    return address === null || offset % ALIGNMENT !== 0 ? this.backend.bufferType : null
  }

  /** Copies weights into one buffer in ordinary memory, companions side by side. */
  private async copy(bufferType: Pointer, infos: readonly RankTensor[]): Promise<void> {
    let sizeBytes = 0
    const spots = companionsTogether(infos).map((info) => {
      const pointer = newTensor(this.ggml, this.context, info)
      const offset = sizeBytes
      sizeBytes = align(offset + this.ggml.bufferTypeAllocSize(bufferType, pointer), COPY_ALIGNMENT)
      return { info, pointer, offset }
    })
    const buffer = this.ggml.bufferTypeAlloc(bufferType, sizeBytes)
    if (!buffer) throw new RangeError(`${sizeBytes} bytes of weights do not fit into memory.`)
    this.ggml.bufferSetUsage(buffer, USAGE_WEIGHTS)
    this.buffers.push(buffer)
    const base = this.ggml.bufferBase(buffer)
    preferHugePages(base, sizeBytes)
    for (const { info, pointer, offset } of spots) {
      const keepsRows = this.keepsRows(bufferType, info)
      this.settle(info, pointer, buffer, (base + BigInt(offset)) as Pointer, keepsRows)
      await this.fill(pointer, info)
    }
  }

  private keepsRows(bufferType: Pointer, { shape }: RankTensor): boolean {
    if (shape.length !== 2) return false
    if (bufferType === this.backend.bufferType) return true
    return this.ggml.bufferTypeName(bufferType) === ROWWISE_REPACKING && shape[1]! % REPACKED_ROWS === 0
  }

  /** In place where the backend reads the mapped file, else in a buffer of its own on the device. */
  private async place(info: RankTensor): Promise<void> {
    const tensor = newTensor(this.ggml, this.context, info)
    if (this.backend.isHost) {
      const entry = this.open(info.file)
      entry.buffer ??= this.wrap(entry.file)
      const address = entry.file.address(info.offset, info.sizeBytes)!
      this.settle(info, tensor, entry.buffer, address, info.shape.length === 2)
      return
    }
    const { bufferType } = this.backend
    const buffer = this.ggml.bufferTypeAlloc(bufferType, this.ggml.bufferTypeAllocSize(bufferType, tensor))
    if (!buffer) throw new RangeError(`${info.name} (${info.sizeBytes} bytes) does not fit on the device.`)
    this.ggml.bufferSetUsage(buffer, USAGE_WEIGHTS)
    this.buffers.push(buffer)
    this.settle(info, tensor, buffer, this.ggml.bufferBase(buffer), false)
    await this.fill(tensor, info)
  }

  private settle(
    info: RankTensor,
    pointer: Pointer,
    buffer: Pointer,
    address: Pointer,
    keepsRows: boolean,
  ): void {
    this.ggml.tensorAlloc(buffer, pointer, address)
    this.placed.set(info.name, { info, tensor: { pointer }, buffer, address, keepsRows })
  }

  /** Lays one more tensor over each run of companions: no weight is stored twice. */
  private bundleCompanions(): void {
    for (const { layer, members } of companionRuns(this.placed)) {
      const parts = members.map(({ matrix, placed: { info } }) => ({ matrix, width: info.shape[1]! }))
      const rows = parts.reduce((sum, { width }) => sum + width, 0)
      const { info, buffer, address } = members[0]!.placed
      const pointer = newTensor(this.ggml, this.context, { type: info.type, shape: [info.shape[0]!, rows] })
      this.ggml.tensorAlloc(buffer as Pointer, pointer, address as Pointer)
      for (const { matrix } of parts) this.bundles.set(`${layer}.${matrix}`, { weight: { pointer }, parts })
    }
  }

  private wrap(file: MappedFile): Pointer {
    const buffer = this.ggml.bufferFromPointer(file.address(0, file.sizeBytes), file.sizeBytes)
    this.ggml.bufferSetUsage(buffer, USAGE_WEIGHTS)
    this.buffers.push(buffer)
    return buffer
  }

  /** Copies off the event loop: rearranging a large matrix takes a while. */
  private fill(tensor: Pointer, info: RankTensor): Promise<void> {
    const { file } = this.open(info.file)
    const data = info.pieces
      ? packed(file, info.pieces, info.sizeBytes)
      : (file.address(info.offset, info.sizeBytes) ?? file.read(info.offset, info.sizeBytes))
    return new Promise((resolve, reject) => {
      this.ggml.tensorSet.async(tensor, data, 0, info.sizeBytes, (error: unknown) => {
        if (!info.pieces) file.release(info.offset, info.sizeBytes)
        if (error) reject(error instanceof Error ? error : new Error(String(error)))
        else resolve()
      })
    })
  }

  private open(path: string): { file: MappedFile; buffer: Pointer | null } {
    const existing = this.files.get(path)
    if (existing) return existing
    const entry = { file: MappedFile.open(path), buffer: null }
    this.files.set(path, entry)
    return entry
  }

  private closeUnmapped(): void {
    for (const [path, { file, buffer }] of this.files) {
      if (buffer) continue
      file.close()
      this.files.delete(path)
    }
  }
}

const withTiedHead = (info: RankTensor): readonly RankTensor[] =>
  info.name === 'token_embd.weight' ? [info, { ...info, name: 'output.weight' }] : [info]

/** Read at once at most, of rows that some columns are taken from. */
const READ_BYTES = 1 << 22

function packed(file: MappedFile, pieces: readonly BytePieces[], sizeBytes: number): Uint8Array {
  const data = new Uint8Array(sizeBytes)
  let at = 0
  for (const { offset, sizeBytes: size, strideBytes, count } of pieces) {
    const atOnce = Math.max(1, Math.floor(READ_BYTES / Math.max(1, strideBytes)))
    for (let first = 0; first < count; first += atOnce) {
      const last = Math.min(first + atOnce, count) - 1
      const read = file.read(offset + first * strideBytes, (last - first) * strideBytes + size)
      for (let index = 0; index <= last - first; index += 1) {
        data.set(read.subarray(index * strideBytes, index * strideBytes + size), at)
        at += size
      }
    }
  }
  return data
}

const align = (offset: number, alignment: number): number => Math.ceil(offset / alignment) * alignment
