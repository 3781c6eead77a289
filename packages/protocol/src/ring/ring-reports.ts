import type { RingCapacity, StageReport } from '../messages.ts'

/** Why these reports, gathered in ring order, do not describe one whole model; `null` if they do. */
export function findReportProblem(reports: readonly StageReport[], stages: number): string | null {
  if (reports.length !== stages) return `a probe passed ${reports.length} stages of ${stages}`
  let nextLayer = 0
  for (const [index, report] of reports.entries()) {
    if (report.stage !== index)
      return `stage ${report.stage} (${report.worker}) is linked where stage ${index} belongs`
    if (report.model !== reports[0]!.model) {
      return `stage ${index} holds model ${report.model}, stage 0 holds ${reports[0]!.model}`
    }
    const [first, end] = report.layers
    if (first !== nextLayer) return `stage ${index} begins at layer ${first}, but layer ${nextLayer} is next`
    nextLayer = end
  }
  return null
}

/** What every stage offers: the smallest of each figure. Smaller pages never need fewer of them, so this is safe. */
export function ringCapacity(reports: readonly StageReport[]): RingCapacity {
  const smallest = (field: keyof RingCapacity): number =>
    Math.min(...reports.map((report) => report.capacity[field]))
  return {
    kvPages: smallest('kvPages'),
    pageTokens: smallest('pageTokens'),
    contextLength: smallest('contextLength'),
    maxBatchTokens: smallest('maxBatchTokens'),
  }
}
