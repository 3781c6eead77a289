import type { Backend } from '../ggml/backend.ts'
import type { Ggml, Pointer } from '../ggml/library.ts'
import { tensorTypes } from '../ggml/tensor-type.ts'
import type { TensorInfo } from '../weights/model-source.ts'

/** Of such a stack each token is multiplied with some matrices; of others, such as each head's, with all. */
const isExpertStack = (name: string): boolean => name.endsWith('_exps.weight')

/** A tensor without memory. */
export function newTensor(
  ggml: Ggml,
  context: Pointer,
  { type, shape }: Pick<TensorInfo, 'type' | 'shape'>,
): Pointer {
  const [ne0 = 1, ne1 = 1, ne2 = 1, ne3 = 1] = shape
  const id = tensorTypes[type].id
  return shape.length <= 1
    ? ggml.newTensor1d(context, id, ne0)
    : ggml.newTensor4d(context, id, ne0, ne1, ne2, ne3)
}

type Matrix = Pick<TensorInfo, 'name' | 'type' | 'shape'>

/** The buffer type in which the weight's product has a faster kernel, or null where none has. */
export function repackingFor(backend: Backend, info: Matrix): Pointer | null {
  const { ggml } = backend
  const context = ggml.init({ mem_size: ggml.tensorOverhead() * 8, mem_buffer: null, no_alloc: true })
  const found = backend.repackingBufferTypes.find((bufferType) => {
    const tensor = newTensor(ggml, context, info)
    const buffer = ggml.bufferTypeAlloc(bufferType, ggml.bufferTypeAllocSize(bufferType, tensor))
    if (!buffer) return false
    ggml.tensorAlloc(buffer, tensor, ggml.bufferBase(buffer))
    const supported = multiplies(backend, tensor, info)
    ggml.bufferFree(buffer)
    return supported
  })
  ggml.free(context)
  return found ?? null
}

/** Whether the backend has the product that the weight is used in, with the weight lying where it lies. */
function multiplies(backend: Backend, weight: Pointer, { name, shape }: Matrix): boolean {
  const { ggml } = backend
  const [columns = 1, , count = 1] = shape
  const context = ggml.init({ mem_size: ggml.tensorOverhead() * 4, mem_buffer: null, no_alloc: true })
  const vectors = (many: number) => ggml.newTensor4d(context, tensorTypes.F32.id, columns, 1, many, 1)
  const product = isExpertStack(name)
    ? ggml.mulMatId(context, weight, vectors(1), ggml.newTensor1d(context, tensorTypes.I32.id, 1))
    : ggml.mulMat(context, weight, vectors(count))
  const supported = backend.supports(product)
  ggml.free(context)
  return supported
}
