/**
 * Reads several streams at once and yields what they give in order of arrival, with the index of its stream. The first
 * failure ends the merge; leaving the loop lets go of every stream that is not finished.
 */
export async function* merge<T>(
  streams: readonly AsyncIterable<T>[],
): AsyncGenerator<readonly [index: number, item: T], void> {
  const iterators = streams.map((stream) => stream[Symbol.asyncIterator]())
  const arrived: (() => readonly [number, IteratorResult<T>])[] = []
  let wake: () => void = () => undefined
  const arrive = (get: () => readonly [number, IteratorResult<T>]) => {
    arrived.push(get)
    wake()
  }
  const pull = (index: number) => {
    iterators[index]!.next().then(
      (result) => arrive(() => [index, result]),
      (error: unknown) =>
        arrive(() => {
          throw error
        }),
    )
  }

  const open = new Set(iterators.keys())
  try {
    for (const index of open) pull(index)
    while (open.size > 0) {
      if (arrived.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      const [index, result] = arrived.shift()!()
      if (result.done) {
        open.delete(index)
      } else {
        yield [index, result.value]
        pull(index)
      }
    }
  } finally {
    // A generator waiting for its next item answers `return` only afterwards: its owner must also abort what it waits for.
    for (const index of open) void iterators[index]!.return?.().catch(() => undefined)
  }
}
