/** Of each byte, and of each byte with one, two and three zeros after it: four bytes are looked up at once. */
const tables = Array.from({ length: 4 }, () => new Uint32Array(256))
const [table, second, third, fourth] = [tables[0]!, tables[1]!, tables[2]!, tables[3]!]
for (let byte = 0; byte < 256; byte += 1) {
  let rest = byte
  for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? 0xedb88320 ^ (rest >>> 1) : rest >>> 1
  table[byte] = rest
}
for (let zeros = 1; zeros < 4; zeros += 1)
  for (let byte = 0; byte < 256; byte += 1) {
    const before = tables[zeros - 1]![byte]!
    tables[zeros]![byte] = table[before & 255]! ^ (before >>> 8)
  }

/** CRC-32 as in IEEE 802.3: finds accidents, not forgers. */
export function crc32(bytes: Uint8Array): number {
  let rest = -1
  let at = 0
  for (; at + 4 <= bytes.length; at += 4) {
    rest ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    rest =
      fourth[rest & 255]! ^ third[(rest >>> 8) & 255]! ^ second[(rest >>> 16) & 255]! ^ table[rest >>> 24]!
  }
  for (; at < bytes.length; at += 1) rest = table[(rest ^ bytes[at]!) & 255]! ^ (rest >>> 8)
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
