import koffi from 'koffi'
import type { BatchStruct, Pointer } from './structs.ts'

/** One token to evaluate. */
export interface BatchRow {
  readonly sequence: number
  readonly token: number
  /** Tokens of the sequence before this one. */
  readonly position: number
  /** Whether its logits are wanted. */
  readonly logits: boolean
}

/** A `llama_batch` in native memory, reused from call to call; each row belongs to one sequence. */
export class NativeBatch {
  readonly #token: Column<Int32Array>
  readonly #position: Column<Int32Array>
  readonly #sequence: Column<Int32Array>
  readonly #sequenceCount: Column<Int32Array>
  readonly #sequencePointer: Column<BigUint64Array>
  readonly #wanted: Column<Int8Array>

  constructor(readonly capacity: number) {
    this.#token = column('int32_t', capacity, Int32Array)
    this.#position = column('int32_t', capacity, Int32Array)
    this.#sequence = column('int32_t', capacity, Int32Array)
    this.#sequenceCount = column('int32_t', capacity, Int32Array)
    this.#sequencePointer = column('uint64_t', capacity, BigUint64Array)
    this.#wanted = column('int8_t', capacity, Int8Array)
    this.#sequenceCount.values.fill(1)
    const bytes = BigInt(Int32Array.BYTES_PER_ELEMENT)
    for (let row = 0; row < capacity; row++) {
      this.#sequencePointer.values[row] = this.#sequence.address + BigInt(row) * bytes
    }
  }

  /** Overwrites the batch; the struct is valid until the next call. */
  fill(rows: readonly BatchRow[]): BatchStruct {
    for (const [index, row] of rows.entries()) {
      this.#token.values[index] = row.token
      this.#position.values[index] = row.position
      this.#sequence.values[index] = row.sequence
      this.#wanted.values[index] = row.logits ? 1 : 0
    }
    return {
      n_tokens: rows.length,
      token: this.#token.address,
      embd: null,
      pos: this.#position.address,
      n_seq_id: this.#sequenceCount.address,
      seq_id: this.#sequencePointer.address,
      logits: this.#wanted.address,
    }
  }

  free(): void {
    const columns = [
      this.#token,
      this.#position,
      this.#sequence,
      this.#sequenceCount,
      this.#sequencePointer,
      this.#wanted,
    ]
    for (const { address } of columns) koffi.free(address)
  }
}

interface Column<A> {
  readonly address: Pointer
  readonly values: A
}

function column<A>(
  type: string,
  length: number,
  View: { new (buffer: ArrayBuffer): A; readonly BYTES_PER_ELEMENT: number },
): Column<A> {
  const address = koffi.alloc(type, length) as Pointer
  return { address, values: new View(koffi.view(address, length * View.BYTES_PER_ELEMENT)) }
}
