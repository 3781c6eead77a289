import type { ModelConfig } from '@deos/domain'
import { tensorBytes } from '../ggml/tensor-type.ts'
import { checkTensors } from './check-tensors.ts'
import { ModelFileError } from './errors.ts'
import {
  type Assembly,
  type Family,
  familyTensors,
  huggingFaceName,
  isLeftOut,
  type TensorRule,
} from './families/index.ts'
import type { TensorInfo, TensorPart } from './model-source.ts'
import { countRows } from './tensor-data.ts'

/** Buffers that old checkpoints carry along; they are computed, not learnt. */
const computed = /(\.rotary_emb\.inv_freq|\.attention\.(masked_)?bias)$/

/**
 * A family's tensors by canonical name, found or put together among those in Hugging Face files.
 *
 * @param stored - under the names in the files
 * @throws ModelFileError naming the tensor that is missing, unknown or of another shape
 */
export function huggingFaceTensors(
  folder: string,
  config: ModelConfig,
  family: Family,
  stored: ReadonlyMap<string, TensorInfo>,
): ReadonlyMap<string, TensorInfo> {
  const finder = new TensorFinder(folder, config, stored)
  const found = new Map<string, TensorInfo>()
  const nameInFile = new Map<string, string>()
  for (const [gguf, rule] of familyTensors(family, config)) {
    if (rule.huggingFace !== null) nameInFile.set(gguf, huggingFaceName(gguf, rule.huggingFace))
    const tensor = finder.find(gguf, rule)
    // Tied embeddings: some exports store the head again; Hugging Face ignores that copy too.
    const ignored = rule.absent === 'when tied' && config.tiedEmbeddings
    if (tensor && !ignored) found.set(gguf, tensor)
  }
  const unknown = finder.unused().find(({ name }) => !computed.test(name) && !isLeftOut(family, config, name))
  if (unknown) {
    throw new ModelFileError(unknown.file, `is not part of the ${family.title} models this engine knows`, {
      tensor: unknown.name,
      hint: 'Check that config.json belongs to these weights.',
    })
  }
  return checkTensors({ file: folder, family, config, tensors: found, nameInFile })
}

const storedType = ({ type, float8 }: TensorInfo): string => (float8 ? 'FP8' : type)

/** FP8 as the one part of itself, which is how it is scaled while reading. */
function inParts(tensor: TensorInfo): TensorInfo {
  const { file, offset, shape, type } = tensor
  const whole = { file, offset, rows: countRows(shape), rowStrideBytes: shape[0]!, elementStrideBytes: null }
  return { ...tensor, sizeBytes: tensorBytes(type, shape), parts: [withFloat8(whole, [tensor])] }
}

/** A part with the scales of the tensor it is cut out of. */
function withFloat8(part: TensorPart, tensors: readonly TensorInfo[]): TensorPart {
  const holds = ({ file, offset, sizeBytes }: TensorInfo) =>
    file === part.file && offset <= part.offset && part.offset < offset + sizeBytes
  const float8 = tensors[0]!.float8 && tensors.find(holds)?.float8
  return float8 ? { ...part, float8 } : part
}

class TensorFinder {
  private readonly used = new Set<string>()

  constructor(
    private readonly folder: string,
    private readonly config: ModelConfig,
    private readonly stored: ReadonlyMap<string, TensorInfo>,
  ) {}

  find(gguf: string, rule: TensorRule): TensorInfo | null {
    const tensor = rule.huggingFace === null ? null : this.take(huggingFaceName(gguf, rule.huggingFace))
    if (tensor) {
      const permutation = rule.permute ? { permuteHeads: this.config[rule.permute] } : {}
      const addition = rule.addend === undefined ? {} : { addend: rule.addend }
      return { ...(tensor.float8 ? inParts(tensor) : tensor), name: gguf, ...permutation, ...addition }
    }
    const assemblies = rule.assemblies ?? []
    const begun = assemblies.find((assembly) =>
      assembly.stored(this.config).some(({ name }) => this.stored.has(huggingFaceName(gguf, name))),
    )
    const assembly = begun ?? (rule.huggingFace === null ? assemblies[0] : undefined)
    return assembly ? this.assemble(gguf, rule, assembly) : null
  }

  /** What no rule asked for. */
  unused(): readonly TensorInfo[] {
    return [...this.stored].filter(([name]) => !this.used.has(name)).map(([, tensor]) => tensor)
  }

  private take(name: string): TensorInfo | null {
    this.used.add(name)
    return this.stored.get(name) ?? null
  }

  private assemble(gguf: string, rule: TensorRule, assembly: Assembly): TensorInfo {
    const pieces = assembly.stored(this.config).map(({ name, shape, packed = false }) => {
      const inFile = huggingFaceName(gguf, name)
      const piece = this.take(inFile)
      if (!piece) throw new ModelFileError(this.folder, 'is missing', { tensor: inFile })
      this.check(piece, shape, packed)
      return piece
    })
    const [first] = pieces as [TensorInfo, ...TensorInfo[]]
    const other = pieces.find((piece) => storedType(piece) !== storedType(first))
    if (other) {
      throw new ModelFileError(
        other.file,
        `is ${storedType(other)}, but ${first.name} is ${storedType(first)}`,
        { tensor: other.name },
      )
    }
    const type = assembly.packedType ?? first.type
    const shape = rule.shape(this.config)
    const parts = assembly.parts(this.config, pieces).map((part) => withFloat8(part, pieces))
    const { file, offset } = parts[0]!
    return { name: gguf, type, shape, file, offset, sizeBytes: tensorBytes(type, shape), parts }
  }

  private check({ name, file, type, shape }: TensorInfo, wanted: readonly number[], packed: boolean): void {
    if (shape.length !== wanted.length || shape.some((extent, dim) => extent !== wanted[dim])) {
      const rows = (extents: readonly number[]) => `[${extents.toReversed().join(', ')}]`
      throw new ModelFileError(
        file,
        `has the shape ${rows(shape)}; the model's configuration asks for ${rows(wanted)}`,
        { tensor: name },
      )
    }
    if ((type === 'I8') !== packed) {
      const expected = packed ? 'packed bytes' : 'numbers'
      throw new ModelFileError(file, `is stored as ${type === 'I8' ? 'U8' : type}, not as ${expected}`, {
        tensor: name,
      })
    }
  }
}
