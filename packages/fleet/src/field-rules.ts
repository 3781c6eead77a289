/** Without the blanks around it; null if it is not one line of at least one and at most so many characters. */
export function oneLine(value: string, maxLength: number): string | null {
  const text = typeof value === 'string' ? value.trim() : ''
  return text === '' || text.length > maxLength || /[\p{Cc}\p{Zl}\p{Zp}]/u.test(text) ? null : text
}

/** Whether it is a whole number, both ends included. */
export const isWholeWithin = (value: number, min: number, max: number): boolean =>
  Number.isSafeInteger(value) && value >= min && value <= max
