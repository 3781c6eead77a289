const POLYNOMIAL = 0xedb88320

/** Four tables, so that four bytes are taken at once. */
const tables = buildTables()

function buildTables(): readonly Uint32Array[] {
  const first = Uint32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
    return crc
  })
  const all = [first]
  for (let n = 1; n < 4; n++) {
    const previous = all[n - 1]!
    all.push(previous.map((crc) => (crc >>> 8) ^ first[crc & 0xff]!))
  }
  return all
}

/** CRC-32 as in zip and Ethernet (ISO-HDLC): finds damage, not forgery, which the link's encryption excludes. */
export function crc32(bytes: Uint8Array): number {
  const [t0, t1, t2, t3] = [tables[0]!, tables[1]!, tables[2]!, tables[3]!]
  let crc = 0xffffffff
  let at = 0
  for (const end = bytes.length - 3; at < end; at += 4) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    crc = t3[crc & 0xff]! ^ t2[(crc >>> 8) & 0xff]! ^ t1[(crc >>> 16) & 0xff]! ^ t0[crc >>> 24]!
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[at]!) & 0xff]!
  return ~crc >>> 0
}
