/**
 * The printable characters in which byte-level BPE vocabularies write the 256 bytes: printable Latin-1 stands for
 * itself, the other 68 bytes follow from U+0100 in order.
 */
export const byteToCharacter: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  String.fromCharCode(isPrintable(byte) ? byte : 0x100 + unprintableBefore(byte)),
)

const characterToByte = new Map(byteToCharacter.map((character, byte) => [character, byte]))

/** Bytes of a token written in the byte alphabet; `null` if a character is not of it. */
export function bytesOfAlphabet(text: string): Uint8Array | null {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i += 1) {
    const byte = characterToByte.get(text.charAt(i))
    if (byte === undefined) return null
    bytes[i] = byte
  }
  return bytes
}

function isPrintable(byte: number): boolean {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
}

function unprintableBefore(byte: number): number {
  let count = 0
  for (let i = 0; i < byte; i += 1) if (!isPrintable(i)) count += 1
  return count
}
