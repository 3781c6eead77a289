export type {
  RingAnswer,
  RingLoad,
  RingRequest,
  RingResult,
  RingRun,
  SimulatedLink,
  SimulatedStage,
} from './ring-run.ts'
export { simulateRing } from './simulate-ring.ts'
export { type StageTiming, type StepPoint, StepTimes } from './step-times.ts'
