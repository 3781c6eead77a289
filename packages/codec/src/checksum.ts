const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte
  for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? 0xedb88320 ^ (rest >>> 1) : rest >>> 1
  return rest
})

/** CRC-32 as in IEEE 802.3: finds accidents, not forgers. */
export function crc32(bytes: Uint8Array): number {
  let rest = 0xffffffff
  for (let index = 0; index < bytes.length; index += 1)
    rest = table[(rest ^ bytes[index]!) & 255]! ^ (rest >>> 8)
  return ~rest >>> 0
}

/** 64 bits of content, as 16 hexadecimal digits: tells versions apart, does not resist a forger. */
export function contentId(bytes: Uint8Array): string {
  let low = 0x9e3779b9
  let high = 0x85ebca6b
  for (let index = 0; index < bytes.length; index += 1) {
    low = Math.imul(low ^ bytes[index]!, 0x9e3779b1)
    high = Math.imul(high ^ bytes[index]!, 0x5f356495)
    high = (high << 13) | (high >>> 19)
  }
  low = Math.imul(low ^ (low >>> 16), 0x85ebca6b) ^ bytes.length
  high = Math.imul(high ^ (high >>> 15), 0xc2b2ae35) ^ Math.imul(low, 0x27d4eb2f)
  low ^= high >>> 13
  return [high, low].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('')
}
