import { classNames } from '../../components/class-names.ts'
import type { UsageRow } from '../../data/types.ts'
import { formatMoney, unitsOf } from '../../format/money.ts'
import { formatShort } from '../../format/numbers.ts'

interface UsageBarsProps {
  readonly rows: readonly UsageRow[]
  readonly nameOf: (row: UsageRow) => string
}

/** Tokens as bars: what went in, and what came out above it. The table below says the same in numbers. */
export function UsageBars({ rows, nameOf }: UsageBarsProps) {
  const most = Math.max(
    1,
    ...rows.map(({ promptTokens, completionTokens }) => promptTokens + completionTokens),
  )
  // As many names as stand side by side without touching: half of them on a phone.
  const mostNamed = 8
  const labelled = Math.ceil(rows.length / mostNamed)
  const crowded = rows.length > mostNamed
  return (
    <figure className="p-4">
      <figcaption className="mb-3 flex flex-wrap gap-x-4 text-xs text-ink-3">
        <span className="inline-flex items-center gap-1.5">
          <span className="size-2 rounded-xs bg-[var(--series-1)]" aria-hidden="true" />
          tokens in
        </span>
        <span className="inline-flex items-center gap-1.5">
          <span className="size-2 rounded-xs bg-[var(--series-3)]" aria-hidden="true" />
          tokens out
        </span>
        <span className="ml-auto tabular-nums">top: {formatShort(most)} tokens</span>
      </figcaption>
      <div className="flex h-40 items-end gap-px sm:gap-1" aria-hidden="true">
        {rows.map((row) => (
          <div
            key={`${row.day} ${row.projectId} ${row.keyId} ${row.model}`}
            title={`${nameOf(row)}: ${formatShort(row.promptTokens)} in, ${formatShort(row.completionTokens)} out, ${formatMoney(row.cost)} (${unitsOf(row.cost) === 0 ? 'free' : row.cost.currency})`}
            className="flex h-full max-w-16 min-w-0 flex-1 flex-col justify-end rounded-t-sm hover:bg-raised"
          >
            <span
              className="block rounded-t-sm bg-[var(--series-3)]"
              style={{ height: `${(row.completionTokens / most) * 100}%` }}
            />
            <span
              className="block bg-[var(--series-1)]"
              style={{ height: `${(row.promptTokens / most) * 100}%` }}
            />
          </div>
        ))}
      </div>
      <div className="mt-1 flex gap-px text-[11px] text-ink-3 sm:gap-1" aria-hidden="true">
        {rows.map((row, index) => (
          <span
            key={`${row.day} ${row.projectId} ${row.keyId} ${row.model}`}
            className="max-w-16 min-w-0 flex-1 overflow-visible text-center whitespace-nowrap"
          >
            {index % labelled === 0 ? (
              <span
                className={
                  crowded
                    ? classNames('inline-block', index % (2 * labelled) !== 0 && 'max-sm:invisible')
                    : 'inline-block max-w-full truncate align-top sm:max-w-none'
                }
              >
                {nameOf(row)}
              </span>
            ) : (
              ''
            )}
          </span>
        ))}
      </div>
    </figure>
  )
}
