/** Into how many parts the work of a layer is divided among accelerators that act as one device. */
export interface GroupDegrees {
  /** Tensor parallelism: matrices and heads. */
  readonly tensor: number
  /** Context parallelism: the sequence, with K and V passed round a ring. */
  readonly context: number
  /** Expert parallelism: experts, with tokens sent to them and back. */
  readonly expert: number
}

export const sizeOf = ({ tensor, context, expert }: GroupDegrees): number => tensor * context * expert
