export { type SentSpan, SpanCollector } from './span-collector.ts'
