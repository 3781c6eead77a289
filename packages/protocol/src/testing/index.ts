/**
 * @packageDocumentation
 * Test doubles of the protocol: an exact fake stage engine, the suite that every stage engine passes, and generators
 * of messages. The suite needs Vitest, so import this from tests.
 */
export { arbitraryMessage, arbitrarySampling, messageArbitraries } from './arbitrary-messages.ts'
export { describeStageEngine, type StageEngineFixture } from './describe-stage-engine.ts'
export { FakeEngineError } from './fake-engine-error.ts'
export { type FakeModel, fakeEmbedding, fakeGeneration } from './fake-model.ts'
export { FakeStageEngine, type FakeStageEngineOptions } from './fake-stage-engine.ts'
export { idleUsage } from './idle-usage.ts'
