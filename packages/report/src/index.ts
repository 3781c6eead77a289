export { type BarRow, barChart, type GroupRow, groupedBarChart } from './charts/bar-chart.ts'
export { type LineChart, lineChart, type Series } from './charts/line-chart.ts'
export { bullets, type Card, cards, escapeHtml, htmlTable, page, section } from './page.ts'
export { colour, figure, key, label, rect, svg } from './pictures.ts'
