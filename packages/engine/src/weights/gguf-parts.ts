import { basename, dirname, join } from 'node:path'
import { ModelFileError } from './errors.ts'
import { Fields } from './fields.ts'
import { type GgufHeader, readGgufHeader } from './gguf-reader.ts'
import type { TensorInfo } from './model-source.ts'

/** Metadata that only files divided into parts have. */
export const splitKeys: readonly string[] = ['split.no', 'split.count', 'split.tensors.count']

/** `<name>-00002-of-00003.gguf`: the second of three. */
const partName = /^(?<stem>.+)-(?<number>\d{5})-of-(?<count>\d{5})\.gguf$/
const counts = { min: 0, max: (1 << 16) - 1 } as const

const nameOfPart = (stem: string, index: number, count: number): string =>
  `${stem}-${String(index + 1).padStart(5, '0')}-of-${String(count).padStart(5, '0')}.gguf`

/** What a file's name says of the model in it. */
export const ggufModelName = (path: string): string =>
  partName.exec(basename(path))?.groups?.stem ?? basename(path, '.gguf')

/** One of the files of each model, in order: of a divided one the first part that is there. */
export function oneFilePerModel(files: readonly string[]): readonly string[] {
  const models = new Map<string, string>()
  for (const file of [...files].sort()) {
    const { stem, count } = partName.exec(file)?.groups ?? {}
    const model = stem === undefined ? file : `${stem}-of-${count}`
    if (!models.has(model)) models.set(model, file)
  }
  return [...models.values()]
}

/** A model in one GGUF file or several. */
export interface GgufParts {
  /** The first holds the metadata; each tensor names the file it lies in. */
  readonly headers: readonly [GgufHeader, ...GgufHeader[]]
  readonly tensors: ReadonlyMap<string, TensorInfo>
}

/**
 * Reads and checks the header of a GGUF file, and of the parts beside it if it is one of several.
 *
 * @param path - any of the parts
 * @throws ModelFileError naming the part that is missing, truncated or belongs to something else
 * @throws UnsupportedModelError like {@link readGgufHeader}
 */
export async function readGgufParts(path: string): Promise<GgufParts> {
  const given = await readGgufHeader(path)
  const place = placeOf(given)
  if (place.count <= 1) return { headers: [given], tensors: given.tensors }
  const stem = stemOf(path, place)
  const [first, ...others] = Array.from({ length: place.count }, (_, index) =>
    join(dirname(path), nameOfPart(stem, index, place.count)),
  ) as [string, ...string[]]
  const read = (file: string) => (basename(file) === basename(path) ? given : readPart(file, place))
  const headers: [GgufHeader, ...GgufHeader[]] = [await read(first)]
  for (const file of others) headers.push(await read(file))
  for (const [index, header] of headers.entries()) checkPlace(header, index, headers[0])
  return { headers, tensors: joinTensors(headers) }
}

interface Place {
  /** From 0. */
  readonly index: number
  readonly count: number
}

const fieldsOf = ({ path, metadata }: GgufHeader): Fields =>
  new Fields(path, (key) => metadata.get(key)?.value)

function placeOf(header: GgufHeader): Place {
  const fields = fieldsOf(header)
  return { index: fields.integer('split.no', counts, 0), count: fields.integer('split.count', counts, 0) }
}

function stemOf(path: string, { index, count }: Place): string {
  const stem = partName.exec(basename(path))?.groups?.stem
  if (stem !== undefined && nameOfPart(stem, index, count) === basename(path)) return stem
  const wanted = nameOfPart(stem ?? basename(path, '.gguf'), index, count)
  throw new ModelFileError(
    path,
    `is part ${index + 1} of ${count} of a model, but its name does not say so`,
    {
      hint: `Name the parts as they were when they were made; this one something like ${wanted}.`,
    },
  )
}

async function readPart(file: string, { count }: Place): Promise<GgufHeader> {
  try {
    return await readGgufHeader(file)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
    throw new ModelFileError(file, `is missing, one of the ${count} parts of the model`, {
      hint: 'Download it into the folder of the other parts.',
    })
  }
}

/** @throws ModelFileError if a part says of itself that it is another one, or one of another model */
function checkPlace(header: GgufHeader, index: number, first: GgufHeader): void {
  const foreign = foreignness(header, index, first)
  if (foreign !== null) throw new ModelFileError(header.path, foreign, { hint: foreignHint })
}

function foreignness(header: GgufHeader, index: number, first: GgufHeader): string | null {
  const place = placeOf(header)
  const { count } = placeOf(first)
  const wanted = `part ${index + 1} of ${count}`
  if (place.count <= 1) return `holds a whole model, not ${wanted}`
  if (place.index !== index || place.count !== count) {
    return `is part ${place.index + 1} of ${place.count} by its metadata, but ${wanted} by its name`
  }
  const [own, firsts] = [header, first].map(({ metadata }) => metadata.get('general.architecture')?.value)
  if (own === undefined || own === firsts) return null
  return `holds part of a model of the architecture "${own}", but the first part one of "${firsts}"`
}

const foreignHint = 'Put the parts of one model into a folder of their own; download this one again.'

function joinTensors(headers: readonly [GgufHeader, ...GgufHeader[]]): ReadonlyMap<string, TensorInfo> {
  const tensors = new Map<string, TensorInfo>()
  for (const header of headers) {
    for (const [name, tensor] of header.tensors) {
      const other = tensors.get(name)
      if (other) {
        throw new ModelFileError(header.path, `is in ${basename(other.file)} too`, {
          tensor: name,
          hint: foreignHint,
        })
      }
      tensors.set(name, tensor)
    }
  }
  const fields = fieldsOf(headers[0])
  const wanted = fields.integer('split.tensors.count', { min: 0, max: 1 << 18 }, tensors.size)
  if (wanted !== tensors.size) {
    throw new ModelFileError(
      headers[0].path,
      `announces ${wanted} tensors, but the ${headers.length} parts hold ${tensors.size}`,
      { hint: 'One of the parts belongs to another model; download them again.' },
    )
  }
  return tensors
}
