/**
 * Merges that make byte-pair encoding do what SentencePiece does with scores: of all neighbours whose joint text is a
 * piece, the piece with the highest score is joined first. Every way to cut a piece into two pieces is one merge.
 *
 * @param pieces - texts that ordinary encoding may produce, with their scores and ids
 * @returns in order of preference: by score, then longer parts first, as Hugging Face's converter orders them
 */
export function mergesFromScores(
  pieces: ReadonlyMap<string, { readonly id: number; readonly score: number }>,
): [string, string][] {
  const merges: { left: string; right: string; score: number; order: number }[] = []
  for (const [text, { score }] of pieces) {
    for (let cut = 1; cut < text.length; cut += 1) {
      const left = text.slice(0, cut)
      const leftPiece = pieces.get(left)
      if (leftPiece === undefined) continue
      const right = text.slice(cut)
      if (pieces.has(right)) merges.push({ left, right, score, order: leftPiece.id })
    }
  }
  merges.sort(
    (a, b) =>
      b.score - a.score ||
      b.left.length - a.left.length ||
      b.right.length - a.right.length ||
      a.order - b.order,
  )
  return merges.map(({ left, right }) => [left, right])
}
