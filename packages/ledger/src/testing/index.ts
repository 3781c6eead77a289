export * from './arbitrary-commands.ts'
export * from './fixtures.ts'
