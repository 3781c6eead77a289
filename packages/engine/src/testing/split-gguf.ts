import { readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { readGgufHeader, writeGguf } from '../weights/index.ts'

/**
 * Divides a GGUF file as llama.cpp's `llama-gguf-split` does: all metadata in the first part, tensors in order over
 * as many parts, named `<name>-00001-of-00003.gguf` and so on.
 *
 * @param bareFirst - leave the first part without tensors
 * @returns paths of the parts, beside the file
 */
export async function splitGguf(path: string, parts: number, bareFirst = false): Promise<readonly string[]> {
  const { metadata, tensors } = await readGgufHeader(path)
  const data = await readFile(path)
  const digits = (value: number) => String(value).padStart(5, '0')
  const holding = bareFirst ? parts - 1 : parts
  const perPart = Math.ceil(tensors.size / holding)
  const written: string[] = []
  for (let part = 0; part < parts; part += 1) {
    const first = (bareFirst ? part - 1 : part) * perPart
    const own = first < 0 ? [] : [...tensors.values()].slice(first, first + perPart)
    const name = `${basename(path, '.gguf')}-${digits(part + 1)}-of-${digits(parts)}.gguf`
    const output = join(dirname(path), name)
    await writeGguf({
      path: output,
      metadata: [
        ...(part === 0 ? metadata : []),
        ['split.no', { type: 'uint16', value: part }],
        ['split.count', { type: 'uint16', value: parts }],
        ['split.tensors.count', { type: 'int32', value: tensors.size }],
      ],
      tensors: own.map(({ name, type, shape, offset, sizeBytes }) => ({
        ...{ name, type, shape },
        data: () => [data.subarray(offset, offset + sizeBytes)],
      })),
    })
    written.push(output)
  }
  return written
}
