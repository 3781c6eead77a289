export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
}

/** Rows under their titles, columns padded to their widest cell. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const lines = [columns.map(({ title }) => title), ...rows]
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => (line[index] ?? '').length)))
  return lines
    .map((line) =>
      columns
        .map(({ align }, index) => {
          const cell = line[index] ?? ''
          return align === 'right' ? cell.padStart(widths[index]!) : cell.padEnd(widths[index]!)
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** `name  value` lines, values one under another. */
export function formatFields(fields: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...fields.map(([name]) => name.length))
  return fields.map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd()).join('\n')
}
