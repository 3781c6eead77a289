const MAX_LENGTH = 63

/**
 * A name like the wished one that nobody has: itself, or with `-2`, `-3`, … behind.
 *
 * @param current - name that the machine has, which it keeps if it came from the same wish
 */
export function uniqueName(wish: string, taken: ReadonlySet<string>, current: string | null): string {
  if (current !== null && !taken.has(current) && comesFrom(current, wish)) return current
  if (!taken.has(wish)) return wish
  for (let number = 2; ; number += 1) {
    const name = numbered(wish, number)
    if (!taken.has(name)) return name
  }
}

function comesFrom(name: string, wish: string): boolean {
  if (name === wish) return true
  const number = /-(\d+)$/.exec(name)?.[1]
  return number !== undefined && name === numbered(wish, Number(number))
}

function numbered(wish: string, number: number): string {
  const suffix = `-${number}`
  return wish.slice(0, MAX_LENGTH - suffix.length).replace(/-+$/, '') + suffix
}
