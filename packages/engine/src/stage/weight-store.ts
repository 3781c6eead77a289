import type { Backend } from '../ggml/backend.ts'
import type { Tensor } from '../ggml/graph-builder.ts'
import type { Ggml, Pointer } from '../ggml/library.ts'
import { MappedFile } from '../ggml/mapped-file.ts'
import { tensorTypes } from '../ggml/tensor-type.ts'
import type { TensorInfo } from '../weights/model-source.ts'

const ALIGNMENT = 32
const USAGE_WEIGHTS = 1

/** Whether a weight is only ever the left side of a matrix product, so that kernels may rearrange it. */
function isMatrixOperand({ name, shape }: TensorInfo): boolean {
  return shape.length >= 2 && name !== 'token_embd.weight' && name.endsWith('.weight')
}

/**
 * The weights of one stage in the memory of its backend. On a CPU most are the mapped file itself, shared by every
 * process that maps it; types for which ggml has faster rearranged kernels are copied into that arrangement.
 */
export class WeightStore {
  private readonly tensors = new Map<string, Tensor>()
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
    infos: readonly TensorInfo[],
    { headFromEmbedding }: { headFromEmbedding: boolean },
  ): Promise<WeightStore> {
    const store = new WeightStore(backend, infos.length)
    try {
      for (const info of infos) await store.add(info, headFromEmbedding)
      store.closeUnmapped()
      return store
    } catch (error) {
      store.close()
      throw error
    }
  }

  get(name: string): Tensor | null {
    return this.tensors.get(name) ?? null
  }

  close(): void {
    for (const buffer of this.buffers) this.ggml.bufferFree(buffer)
    for (const { file } of this.files.values()) file.close()
    this.buffers.length = 0
    this.files.clear()
    this.tensors.clear()
    this.ggml.free(this.context)
  }

  private async add(info: TensorInfo, headFromEmbedding: boolean): Promise<void> {
    if (info.name === 'token_embd.weight' && headFromEmbedding) {
      await this.add({ ...info, name: 'output.weight' }, false)
    }
    const tensor = isMatrixOperand(info)
      ? ((await this.repack(info)) ?? (await this.place(info)))
      : await this.place(info)
    this.tensors.set(info.name, { pointer: tensor })
  }

  private newTensor({ type, shape }: TensorInfo): Pointer {
    const [ne0 = 1, ne1 = 1, ne2 = 1, ne3 = 1] = shape
    const id = tensorTypes[type].id
    return shape.length <= 1
      ? this.ggml.newTensor1d(this.context, id, ne0)
      : this.ggml.newTensor4d(this.context, id, ne0, ne1, ne2, ne3)
  }

  /** The weight in a rearranging buffer, or null where no kernel wants that. */
  private async repack(info: TensorInfo): Promise<Pointer | null> {
    for (const bufferType of this.backend.repackingBufferTypes) {
      const tensor = this.newTensor(info)
      const buffer = this.ggml.bufferTypeAlloc(bufferType, this.ggml.bufferTypeAllocSize(bufferType, tensor))
      if (!buffer) continue
      this.ggml.tensorAlloc(buffer, tensor, this.ggml.bufferBase(buffer))
      if (this.multiplies(tensor, info.shape[0] ?? 1)) {
        this.ggml.bufferSetUsage(buffer, USAGE_WEIGHTS)
        this.buffers.push(buffer)
        await this.fill(tensor, info)
        return tensor
      }
      this.ggml.bufferFree(buffer)
    }
    return null
  }

  private multiplies(weight: Pointer, columns: number): boolean {
    const context = this.ggml.init({
      mem_size: this.ggml.tensorOverhead() * 4,
      mem_buffer: null,
      no_alloc: true,
    })
    const x = this.ggml.newTensor2d(context, tensorTypes.F32.id, columns, 1)
    const supported = this.backend.supports(this.ggml.mulMat(context, weight, x))
    this.ggml.free(context)
    return supported
  }

  private async place(info: TensorInfo): Promise<Pointer> {
    const tensor = this.newTensor(info)
    const entry = this.open(info.file)
    const address = entry.file.address(info.offset, info.sizeBytes)
    if (this.backend.isHost && address !== null && info.offset % ALIGNMENT === 0) {
      entry.buffer ??= this.wrap(entry.file)
      this.ggml.tensorAlloc(entry.buffer, tensor, address)
      return tensor
    }
    const buffer = this.ggml.bufferTypeAlloc(
      this.backend.bufferType,
      this.ggml.bufferTypeAllocSize(this.backend.bufferType, tensor),
    )
    if (!buffer) throw new RangeError(`${info.name} (${info.sizeBytes} bytes) does not fit on the device.`)
    this.ggml.bufferSetUsage(buffer, USAGE_WEIGHTS)
    this.buffers.push(buffer)
    this.ggml.tensorAlloc(buffer, tensor, this.ggml.bufferBase(buffer))
    await this.fill(tensor, info)
    return tensor
  }

  private wrap(file: MappedFile): Pointer {
    const buffer = this.ggml.bufferFromPointer(file.address(0, file.sizeBytes), file.sizeBytes)
    this.ggml.bufferSetUsage(buffer, USAGE_WEIGHTS)
    this.buffers.push(buffer)
    return buffer
  }

  /** Copies off the event loop: rearranging a large matrix takes a while. */
  private fill(tensor: Pointer, info: TensorInfo): Promise<void> {
    const { file } = this.open(info.file)
    const data = file.address(info.offset, info.sizeBytes) ?? file.read(info.offset, info.sizeBytes)
    return new Promise((resolve, reject) => {
      this.ggml.tensorSet.async(tensor, data, 0, info.sizeBytes, (error: unknown) => {
        file.release(info.offset, info.sizeBytes)
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
