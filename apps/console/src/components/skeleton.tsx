import { classNames } from './class-names.ts'

/** Keeps the place of what is on its way. */
export const Skeleton = ({ className = 'h-4 w-full' }: { readonly className?: string }) => (
  <span aria-hidden="true" className={classNames('block animate-pulse rounded-md bg-raised', className)} />
)

const widths = ['w-11/12', 'w-4/5', 'w-10/12', 'w-3/4', 'w-11/12', 'w-2/3', 'w-4/5', 'w-10/12'] as const

export const SkeletonRows = ({ rows = 5 }: { readonly rows?: number }) => (
  <div role="status" aria-label="Loading" className="flex flex-col gap-4 p-4">
    {widths
      .slice(0, rows)
      .map((width, row) => ({ width, key: `${width} ${row}` }))
      .map(({ width, key }) => (
        <Skeleton key={key} className={classNames('h-4', width)} />
      ))}
  </div>
)

export const SkeletonPage = () => (
  <div role="status" aria-label="Loading" className="flex flex-col gap-6">
    <Skeleton className="h-8 w-56" />
    <div className="grid gap-4 sm:grid-cols-2 xl:grid-cols-4">
      <Skeleton className="h-22" />
      <Skeleton className="h-22" />
      <Skeleton className="h-22" />
      <Skeleton className="h-22" />
    </div>
    <Skeleton className="h-72" />
  </div>
)
