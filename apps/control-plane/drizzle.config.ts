import { defineConfig } from 'drizzle-kit'

/** `npx drizzle-kit generate` here writes what the tables lack into a new migration. */
export default defineConfig({
  dialect: 'postgresql',
  schema: './src/database/schema/index.ts',
  out: './migrations',
})
