import { Cpu } from 'lucide-react'
import { Card, Facts } from '../../components/card.tsx'
import { Empty } from '../../components/empty.tsx'
import { Table } from '../../components/table.tsx'
import { Time } from '../../components/time.tsx'
import type { Machine } from '../../data/types.ts'
import { formatBandwidth, formatFlops, formatSize, nothing } from '../../format/numbers.ts'

/** What a machine consists of, and what was measured of it. */
export function Hardware({ machine }: { readonly machine: Machine }) {
  return (
    <>
      <Inventory machine={machine} />
      <Benchmark machine={machine} />
    </>
  )
}

function Inventory({ machine: { inventory } }: { readonly machine: Machine }) {
  if (inventory === null) {
    return (
      <Card title="Inventory">
        <p className="text-sm text-ink-3">The machine has not told yet what it consists of.</p>
      </Card>
    )
  }
  return (
    <Card title="Inventory" flush>
      <div className="p-4">
        <Facts
          facts={[
            ['Host name', inventory.hostname],
            ['System', `${inventory.platform} on ${inventory.architecture}`],
            ['Processor', `${inventory.cpuModel}, ${inventory.cpuCores} cores`],
            ['Memory', formatSize(inventory.memoryBytes)],
            ['Disk free', formatSize(inventory.diskFreeBytes)],
          ]}
        />
      </div>
      <div className="border-t border-line">
        <Table
          label="Devices"
          rows={inventory.devices}
          rowKey={({ name }) => name}
          columns={[
            { name: 'Device', cell: ({ name }) => <span className="font-medium">{name}</span> },
            { name: 'What it is', cell: ({ description }) => description },
            { name: 'Kind', cell: ({ kind }) => kind.toUpperCase() },
            { name: 'Memory', align: 'right', cell: ({ memoryBytes }) => formatSize(memoryBytes) },
          ]}
        />
      </div>
    </Card>
  )
}

function Benchmark({ machine: { benchmark, benchmarkedAt } }: { readonly machine: Machine }) {
  if (benchmark === null) {
    return (
      <Card title="Benchmark">
        <Empty icon={Cpu} title="Not measured yet" command="deos node show <name>">
          A new machine is measured before it takes its first stage.
        </Empty>
      </Card>
    )
  }
  return (
    <Card
      title="Benchmark"
      about={
        <>
          measured <Time at={benchmarkedAt} /> · disk reads{' '}
          {formatBandwidth(benchmark.diskReadBytesPerSecond)}
        </>
      }
      flush
    >
      <Table
        label="Measured of devices"
        rows={benchmark.devices}
        rowKey={({ device }) => device}
        columns={[
          { name: 'Device', cell: ({ device }) => <span className="font-medium">{device}</span> },
          {
            name: 'Reads weights',
            align: 'right',
            cell: ({ weightBytesPerSecond }) => formatBandwidth(weightBytesPerSecond),
          },
          {
            name: 'From the host',
            align: 'right',
            cell: ({ hostBytesPerSecond }) =>
              hostBytesPerSecond === null ? nothing : formatBandwidth(hostBytesPerSecond),
          },
          {
            name: 'Computes',
            align: 'right',
            cell: ({ flopsPerSecond }) => (
              <ul>
                {Object.entries(flopsPerSecond).map(([type, flops]) => (
                  <li key={type}>
                    <span className="text-ink-3">{type}</span> {formatFlops(flops)}
                  </li>
                ))}
              </ul>
            ),
          },
        ]}
      />
    </Card>
  )
}
