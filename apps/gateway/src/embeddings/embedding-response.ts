const base64 = ({ buffer, byteOffset, byteLength }: Float32Array): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('base64')

/** The list of vectors as OpenAI writes it; base64 holds little-endian float32. */
export function embeddingBody(
  model: string,
  vectors: readonly Float32Array[],
  encoding: 'float' | 'base64',
  promptTokens: number,
) {
  return {
    object: 'list',
    data: vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: encoding === 'base64' ? base64(vector) : Array.from(vector),
    })),
    model,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
  }
}
