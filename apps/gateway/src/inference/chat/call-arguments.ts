/**
 * The arguments of a call for APIs that hand them on as an object. What the model wrote may be none: then it stands whole
 * under `arguments`, so that nothing is lost.
 *
 * @param text - as the model wrote it
 */
export function argumentsObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text === '' ? '{}' : text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>
    }
  } catch {
    // Not JSON: as good as any other value that is no object.
  }
  return { arguments: text }
}
