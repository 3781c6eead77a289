import { apart, type Basis, besideEachOther, type KvPart } from './basis.ts'
import { type BlockHeader, readFrame, writeFrame } from './block-frame.ts'
import { BasisMismatchError, CodecInputError, CorruptBlockError } from './errors.ts'
import { decodeExact, encodeExact } from './exact-tokens.ts'
import { decodeGroups, encodeGroups, hadamardSize, turnHadamard } from './groups.ts'
import { narrowToHalves, widenHalves } from './half.ts'
import { checkMatrix, checkShape, type KvMatrix } from './kv-matrix.ts'
import type { ExactTokens, KvTools, Level } from './level.ts'
import { decodeLossless, encodeLossless } from './lossless.ts'
import type { LosslessContext } from './lossless-modelled.ts'
import { rotateKeys } from './rotary.ts'
import { toolsFingerprint } from './tools-fingerprint.ts'
import { checkStep, decodeTransform, encodeTransform } from './transform.ts'

/** K and V of consecutive tokens in one or more layers, keys turned by their positions as a cache holds them. */
export interface KvBlockContent {
  readonly firstPosition: number
  /** Equally many tokens each; for levels with a basis the parts of the basis in its order. */
  readonly parts: readonly (KvPart & { readonly values: Uint16Array })[]
  readonly tokens: number
}

/** What a reader asked for, so that nothing else is believed or allocated. */
export interface ExpectedBlock {
  readonly tokens: number
  readonly firstPosition: number
  readonly parts: readonly KvPart[]
}

/**
 * Bytes of a block at a level.
 *
 * @throws CodecInputError if shapes do not fit the tools, or values that are not finite meet a level with loss
 */
export function encodeKvBlock(
  content: KvBlockContent,
  level: Level,
  tools: KvTools,
): Uint8Array<ArrayBuffer> {
  for (const part of content.parts) checkMatrix(matrixOf(content.tokens, part))
  checkPosition(content.firstPosition)
  const { tokens, firstPosition } = content
  const parts = content.parts.map(({ layer, part, channels }) => ({ layer, part, channels }))
  const exact = 'exact' in level ? level.exact : { first: 0, last: 0 }
  const step = 'step' in level ? Math.fround(level.step) : 0
  const header: BlockHeader = {
    ...{ level: level.name, parts, tokens, firstPosition, step, exact },
    toolsId: toolsIdOf(level.name, tools),
    toolsFingerprint: toolsFingerprint(level.name, parts, tools),
  }
  checkHeader(header, tools)
  return writeFrame(
    header,
    'step' in level ? encodeWithBasis(content, header, tools) : encodeEach(content, header, tools),
  )
}

/**
 * Halves of each part, in the order of the parts.
 *
 * @throws CorruptBlockError for bytes that are not a sound block of what was expected; BasisMismatchError if it was
 *   written with other tools
 */
export function decodeKvBlock(
  bytes: Uint8Array,
  expected: ExpectedBlock,
  tools: KvTools,
): Uint16Array<ArrayBuffer>[] {
  for (const { channels } of expected.parts) checkShape({ tokens: expected.tokens, channels })
  checkPosition(expected.firstPosition)
  const { header, payload } = readFrame(bytes)
  checkExpected(header, expected)
  const present = toolsIdOf(header.level, tools)
  if (present !== header.toolsId) throw new BasisMismatchError(header.toolsId ?? 'none', present ?? 'none')
  checkHeader(header, tools)
  checkFingerprint(header, tools)
  return header.step > 0 ? decodeWithBasis(payload, header, tools) : decodeEach(payload, header, tools)
}

/** Header of a block, to find out which basis it wants. */
export function inspectKvBlock(bytes: Uint8Array): BlockHeader {
  return readFrame(bytes).header
}

function toolsIdOf(level: Level['name'], { basis, channelModelsId }: KvTools): string | null {
  if (level === 'lossless') return channelModelsId ?? null
  return level === 'basis' || level === 'sharedBasis' ? (basis?.id ?? null) : null
}

function checkFingerprint(header: BlockHeader, tools: KvTools): void {
  const wanted = header.toolsFingerprint
  const present = toolsFingerprint(header.level, header.parts, tools)
  if (wanted === present) return
  const id = header.toolsId ?? 'none'
  throw new BasisMismatchError(
    `${id} (contents ${wanted ?? 'none'})`,
    `${id} (contents ${present ?? 'none'})`,
  )
}

function checkPosition(position: number): void {
  if (!Number.isInteger(position) || position < 0 || position >= 2 ** 32)
    throw new CodecInputError(`A block cannot begin at position ${position}.`)
}

function checkExpected(header: BlockHeader, expected: ExpectedBlock): void {
  const say = (of: ExpectedBlock) =>
    `${of.tokens} tokens from ${of.firstPosition} of ${of.parts.map((p) => `${p.part}${p.layer}×${p.channels}`).join(' ')}`
  if (say(header) !== say(expected))
    throw new CorruptBlockError(`A block of ${say(header)} came where ${say(expected)} was expected.`)
}

function checkHeader(header: BlockHeader, { basis }: KvTools): void {
  const { level, parts, tokens, exact, step } = header
  const withBasis = level === 'basis' || level === 'sharedBasis'
  if (!withBasis) {
    if (step !== 0 || exact.first + exact.last > 0)
      throw new CorruptBlockError(`Level ${level} has neither a step nor exact tokens.`)
    return
  }
  if (basis === undefined)
    throw new CodecInputError(`Level ${level} needs a basis.`, 'Load the model’s basis.')
  checkStep(step)
  if (exact.first > 255 || exact.last > 255 || exact.first + exact.last > tokens)
    throw new CodecInputError(`${exact.first} + ${exact.last} of ${tokens} tokens cannot be exact.`)
  const fits = basis.parts.every((own, index) => {
    const part = parts[index]
    return part?.layer === own.layer && part.part === own.part && part.channels === own.channels
  })
  if (!fits || parts.length !== basis.parts.length)
    throw new CodecInputError(`The block’s ${parts.length} parts are not those of basis ${basis.id}.`)
}

const matrixOf = (
  tokens: number,
  { channels, values }: { channels: number; values: Uint16Array },
): KvMatrix => ({
  tokens,
  channels,
  values,
})

function losslessContext(part: KvPart, firstPosition: number, tools: KvTools): LosslessContext | null {
  const model = tools.channelModel?.(part) ?? null
  return model === null
    ? null
    : { model, rotary: part.part === 'k' ? tools.rotary(part.layer) : null, firstPosition }
}

function encodeEach(
  { tokens, firstPosition, parts }: KvBlockContent,
  { level }: BlockHeader,
  tools: KvTools,
) {
  return parts.map((part) => {
    const matrix = matrixOf(tokens, part)
    if (level === 'lossless') return encodeLossless(matrix, losslessContext(part, firstPosition, tools))
    const values = widenHalves(part.values)
    if (level === 'int8') return encodeGroups(values, matrix, part.part === 'k' ? 'tokens' : 'channels', 8)
    turnHadamard(values, hadamardSize(part.channels))
    return encodeGroups(values, matrix, 'channels', 4)
  })
}

function decodeEach(
  payload: readonly Uint8Array[],
  header: BlockHeader,
  tools: KvTools,
): Uint16Array<ArrayBuffer>[] {
  const { tokens, firstPosition, parts, level } = header
  checkPayload(payload, parts.length)
  return parts.map((part, index) => {
    const shape = { tokens, channels: part.channels }
    const bytes = payload[index]!
    if (level === 'lossless') return decodeLossless(bytes, shape, losslessContext(part, firstPosition, tools))
    if (level === 'int8')
      return narrowToHalves(decodeGroups(bytes, shape, part.part === 'k' ? 'tokens' : 'channels', 8))
    const values = decodeGroups(bytes, shape, 'channels', 4)
    turnHadamard(values, hadamardSize(part.channels))
    return narrowToHalves(values)
  })
}

/** The components of the tokens between the exact ones, then the exact ones if there are any. */
function encodeWithBasis(content: KvBlockContent, header: BlockHeader, tools: KvTools): Uint8Array[] {
  const { tokens, firstPosition, parts } = content
  const { exact, step } = header
  const basis = tools.basis!
  const matrices = parts.map((part) => {
    const values = widenHalves(
      part.values.subarray(exact.first * part.channels, (tokens - exact.last) * part.channels),
    )
    turn(values, part, firstPosition + exact.first, tools, 'unrotate')
    return values
  })
  const rows = besideEachOther(basis, matrices)
  const coded = encodeTransform(basis, rows, step, transformTools(basis, tokens, exact, tools))
  if (exact.first + exact.last === 0) return [coded]
  const values = parts.map((part) => part.values)
  return [coded, encodeExact(header, values, basis, tools)]
}

function decodeWithBasis(
  payload: readonly Uint8Array[],
  header: BlockHeader,
  tools: KvTools,
): Uint16Array<ArrayBuffer>[] {
  const { tokens, firstPosition, parts, exact, step } = header
  const basis = tools.basis!
  const exactTokens = exact.first + exact.last
  checkPayload(payload, exactTokens > 0 ? 2 : 1)
  const between = tokens - exactTokens
  const rows = decodeTransform(basis, payload[0]!, between, step, transformTools(basis, tokens, exact, tools))
  const values = apart(basis, rows).map((matrix, index) => {
    const part = parts[index]!
    const { channels } = part
    turn(matrix, part, firstPosition + exact.first, tools, 'rotate')
    const halves = new Uint16Array(tokens * channels)
    narrowToHalves(matrix, halves.subarray(exact.first * channels, (tokens - exact.last) * channels))
    return halves
  })
  if (exactTokens > 0) decodeExact(payload[1]!, header, values, basis, tools)
  return values
}

function turn(
  values: Float32Array,
  { layer, part, channels }: KvPart,
  firstPosition: number,
  tools: KvTools,
  direction: 'unrotate' | 'rotate',
): void {
  const rotary = part === 'k' ? tools.rotary(layer) : null
  if (rotary === null || values.length === 0) return
  const positions = Float64Array.from({ length: values.length / channels }, (_, row) => firstPosition + row)
  rotateKeys(values, positions, rotary, direction)
}

function checkPayload(payload: readonly Uint8Array[], count: number): void {
  if (payload.length !== count)
    throw new CorruptBlockError(`A block with ${payload.length} sections came where ${count} are needed.`)
}

function transformTools(basis: Basis, tokens: number, exact: ExactTokens, { reference, multiply }: KvTools) {
  const width = basis.referenceChannels
  if ((reference?.length ?? 0) < width * tokens)
    throw new CodecInputError(
      `Basis ${basis.id} needs ${width} reference values for each of ${tokens} tokens.`,
    )
  const between = width === 0 ? null : reference!.subarray(exact.first * width, (tokens - exact.last) * width)
  return multiply === undefined ? { reference: between } : { reference: between, multiply }
}
