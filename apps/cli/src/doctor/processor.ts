/** Instruction sets that ggml's kernels make use of, as Linux and macOS name them. */
const useful = [
  ['avx2', 'AVX2'],
  ['f16c', 'F16C'],
  ['fma', 'FMA'],
  ['avx_vnni', 'AVX-VNNI'],
  ['avx512f', 'AVX-512'],
  ['avx512_vnni', 'AVX-512 VNNI'],
  ['avx512_bf16', 'AVX-512 BF16'],
  ['amx_int8', 'AMX'],
  ['asimddp', 'dot product'],
  ['i8mm', 'I8MM'],
  ['sve', 'SVE'],
] as const

/** @param cpuInfo - text of Linux's `/proc/cpuinfo` */
export function processorFeatures(cpuInfo: string): readonly string[] {
  const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuInfo)?.[1] ?? ''
  const flags = new Set(line.split(/\s+/))
  return useful.filter(([flag]) => flags.has(flag)).map(([, name]) => name)
}
