import type { ReactNode } from 'react'
import type { List } from '../data/query.ts'
import { Button } from './button.tsx'
import { classNames } from './class-names.ts'
import { Problem } from './problem.tsx'
import { SkeletonRows } from './skeleton.tsx'

export interface Column<T> {
  readonly name: string
  readonly cell: (row: T) => ReactNode
  readonly align?: 'right'
  /** Buttons: without a name above them, and in the corner of the card on phones. */
  readonly actions?: boolean
  /** Left out on phones. */
  readonly roomy?: boolean
  readonly className?: string
}

interface TableProps<T> {
  /** What the rows are. */
  readonly label: string
  readonly columns: readonly Column<T>[]
  readonly rows: readonly T[]
  readonly rowKey: (row: T) => string
}

/** A table that becomes a list of cards on phones. Roles are written out, since a changed `display` takes them away. */
export function Table<T>({ label, columns, rows, rowKey }: TableProps<T>) {
  return (
    // biome-ignore-start lint/a11y/noRedundantRoles: see above
    // biome-ignore-start lint/a11y/useSemanticElements: see above
    <div className="md:overflow-x-auto">
      <table role="table" aria-label={label} className="w-full text-sm max-md:block">
        <thead role="rowgroup" className="max-md:sr-only">
          <tr role="row" className="border-b border-line text-left text-xs text-ink-3">
            {columns.map(({ name, align, actions }) => (
              <th
                key={name}
                role="columnheader"
                scope="col"
                className={classNames(
                  'px-4 py-2 font-medium whitespace-nowrap',
                  align === 'right' && 'text-right',
                )}
              >
                {actions ? <span className="sr-only">{name}</span> : name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup" className="max-md:block">
          {rows.map((row) => (
            <tr
              key={rowKey(row)}
              role="row"
              className="relative border-b border-line last:border-0 hover:bg-raised/50 max-md:block max-md:px-4 max-md:py-3"
            >
              {columns.map((column, index) => (
                <Cell key={column.name} column={column} row={row} isHead={index === 0} />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
    // biome-ignore-end lint/a11y/useSemanticElements: see above
    // biome-ignore-end lint/a11y/noRedundantRoles: see above
  )
}

interface CellProps<T> {
  readonly column: Column<T>
  readonly row: T
  /** The first one stands above the others on phones, without its name. */
  readonly isHead: boolean
}

function Cell<T>({ column: { name, cell, align, actions, roomy, className }, row, isHead }: CellProps<T>) {
  const line =
    'max-md:flex max-md:items-start max-md:justify-between max-md:gap-4 max-md:px-0 max-md:py-1 max-md:[&>div]:text-right'
  const head = 'max-md:block max-md:px-0 max-md:pt-0 max-md:pr-24 max-md:pb-1.5 max-md:[&_*]:justify-start'
  const corner = 'relative z-10 text-right max-md:absolute max-md:top-2.5 max-md:right-2 max-md:p-0'
  return (
    <td
      // biome-ignore lint/a11y/noRedundantRoles: as above
      role="cell"
      className={classNames(
        'px-4 py-2.5 align-top',
        align === 'right' && 'md:text-right md:tabular-nums',
        actions ? corner : isHead ? head : line,
        roomy && 'max-md:hidden',
        className,
      )}
    >
      {!actions && !isHead && (
        <span aria-hidden="true" className="shrink-0 text-xs leading-5 text-ink-3 md:hidden">
          {name}
        </span>
      )}
      <div className="min-w-0">{cell(row)}</div>
    </td>
  )
}

interface ListTableProps<T> extends Omit<TableProps<T>, 'rows'> {
  readonly list: List<T>
  /** Rows shown of it, if not all. */
  readonly rows?: readonly T[]
  readonly empty: ReactNode
}

/** A table of a list: on its way, failed, empty, or there. */
export function ListTable<T>({ list, rows = list.items, empty, ...table }: ListTableProps<T>) {
  if (list.isPending) return <SkeletonRows />
  if (list.error && list.items.length === 0) {
    return (
      <div className="p-4">
        <Problem error={list.error} retry={list.refetch} />
      </div>
    )
  }
  if (rows.length === 0) return empty
  return (
    <>
      <Table {...table} rows={rows} />
      {list.more !== null && (
        <div className="border-t border-line p-2 text-center">
          <Button look="quiet" size="small" busy={list.isLoadingMore} onClick={list.more}>
            Show more
          </Button>
        </div>
      )}
    </>
  )
}

/** The name of a row: its link covers the whole row. */
export const rowLink = 'font-medium text-ink hover:underline after:absolute after:inset-0'
