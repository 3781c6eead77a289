import { lineChart, section } from '@deos/report'
import { z } from 'zod'

const values = z.record(z.string(), z.number())
const measured = z.object({
  compared: z.array(
    z.object({ model: z.string(), load: z.string(), measured: z.array(values), predicted: values }),
  ),
})

/** Predicted beside measured: on the dashed line both are equal. */
export function calibratePictures(raw: unknown): string {
  const parsed = measured.safeParse(raw)
  if (!parsed.success) return ''
  const { compared } = parsed.data
  const models = [...new Set(compared.map(({ model }) => model))]
  const chart = (title: string, unit: string, wanted: RegExp): string =>
    lineChart({
      name: title,
      x: { title: `measured, ${unit}`, log: true },
      y: { title: `predicted, ${unit}`, log: true },
      diagonal: true,
      series: models.map((model) => ({
        name: model,
        loose: true,
        points: compared
          .filter((each) => each.model === model)
          .flatMap(({ load, measured: runs, predicted }) =>
            Object.keys(predicted)
              .filter((key) => wanted.test(key))
              .map((key) => ({
                x: middle(runs.map((run) => run[key] ?? Number.NaN)),
                y: predicted[key]!,
                title: `${model}, ${load}, ${key}`,
              })),
          ),
      })),
    })
  return (
    section('Latencies, predicted beside measured', chart('Latencies', 'ms', /Ms$/)) +
    section('Throughput, predicted beside measured', chart('Throughput', 'tokens/s', /tokensPerSecond/))
  )
}

const middle = (list: readonly number[]): number =>
  [...list].sort((a, b) => a - b)[list.length >> 1] ?? Number.NaN
