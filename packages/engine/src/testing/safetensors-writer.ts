import { writeFile } from 'node:fs/promises'

export type SafetensorsDtype = 'F32' | 'F16' | 'BF16'

/** A tensor as Hugging Face files hold it. */
export interface WritableTensor {
  readonly name: string
  /** U8 for packed bytes. */
  readonly dtype: SafetensorsDtype | 'U8' | 'F8_E4M3'
  /** Slowest dim first, as in `config.json`'s world. */
  readonly shape: readonly number[]
  readonly data: Uint8Array
}

/** The bytes of a safetensors file: header length, JSON header padded to 8 bytes, tensor data. */
export function encodeSafetensors(tensors: readonly WritableTensor[]): Buffer {
  let offset = 0
  const entries = tensors.map(({ name, dtype, shape, data }) => {
    const begin = offset
    offset += data.length
    return [name, { dtype, shape, data_offsets: [begin, offset] }] as const
  })
  const json = JSON.stringify({ __metadata__: { format: 'pt' }, ...Object.fromEntries(entries) })
  const header = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8, ' '))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  return Buffer.concat([length, header, ...tensors.map(({ data }) => data)])
}

export async function writeSafetensors(path: string, tensors: readonly WritableTensor[]): Promise<void> {
  await writeFile(path, encodeSafetensors(tensors))
}
